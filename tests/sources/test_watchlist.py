"""The watch list: which markets of a catalogue are tracked, and what happens when the catalogue changes."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.errors import SourceError
from tracker.models import Market, Ticker
from tracker.series.ring import DAY
from tracker.sources.watchlist import Wanted, forerunners, most_traded, require_whole, select
from tracker.store.series import Store

NOW = 1_700_000_000.0


def market(base: str, quote: str) -> Market:
    return Market(f"x:{base}{quote}", base, quote, f"{base}/{quote}".upper())


MARKETS = [market(base, quote) for base in ("btc", "eth", "pol") for quote in ("usd", "eur", "btc") if base != quote]


def ids(markets: Sequence[Market]) -> list[str]:
    return [each.id.removeprefix("x:") for each in markets]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["btceur", "btcusd", "ethbtc", "etheur", "ethusd", "polbtc", "poleur", "polusd"]),
        (Wanted(pairs=("btc*",)), ["btceur", "btcusd"]),
        (Wanted(pairs=("*usd", "polbtc")), ["btcusd", "ethusd", "polbtc", "polusd"]),
        (Wanted(quotes=("btc",)), ["ethbtc", "polbtc"]),
        (Wanted(pairs=("e*",), quotes=("usd", "eur")), ["etheur", "ethusd"]),
    ],
)
def test_pairs_and_quotes_choose(wanted: Wanted, expected: list[str]) -> None:
    assert ids(select(MARKETS, wanted)) == expected


def test_a_wish_that_nothing_fulfils_says_so() -> None:
    with pytest.raises(SourceError, match="none of 8 markets matches PAIRS doge"):
        select(MARKETS, Wanted(pairs=("doge*",)))


def test_the_most_traded_are_compared_in_one_unit() -> None:
    tickers = {
        "x:btcusd": Ticker(50_000, 1),  # 50,000
        "x:ethusd": Ticker(2_000, 10),  # 20,000
        "x:ethbtc": Ticker(0.04, 30),  # 1.2 btc: 60,000
        "x:polusd": Ticker(1, 30_000),  # 30,000
        "x:polbtc": Ticker(0.00002, None),
    }
    assert ids(most_traded(MARKETS, MARKETS, tickers, 3)) == ["btcusd", "ethbtc", "polusd"]
    only = [each for each in MARKETS if each.quote == "btc"]
    assert ids(most_traded(only, MARKETS, tickers, 1)) == ["ethbtc"]


def test_without_volumes_there_is_no_most_traded() -> None:
    with pytest.raises(SourceError, match="TOP needs"):
        most_traded(MARKETS, MARKETS, {"x:btcusd": Ticker(50_000)}, 3)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_catalogue_is_refused_if_and_only_if_it_is_empty_or_less_than_half(count: int, before: int) -> None:
    try:
        require_whole(count, before)
    except SourceError:
        assert count == 0 or count < before / 2
    else:
        assert count > 0 and count >= before / 2


def test_a_renamed_currency_leads_to_the_markets_of_before() -> None:
    assert forerunners(MARKETS, {"pol": "matic"}) == {
        "x:polbtc": "x:maticbtc", "x:poleur": "x:maticeur", "x:polusd": "x:maticusd",
    }  # fmt: skip
    assert forerunners([market("eth", "s")], {"s": "ftm"}) == {"x:eths": "x:ethftm"}
    assert forerunners(MARKETS, {}) == {}


class Catalogue:
    """A source that lists ``listed``."""

    skew = None

    def __init__(self, listed: list[Market]):
        self.listed = listed

    def markets(self) -> list[Market]:
        return self.listed

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        return {each.id: Ticker(1.0, 100.0 + number) for number, each in enumerate(markets)}


def refreshed(store: Store, listed: list[Market], now: float = NOW, wanted: Wanted = pipeline.EVERYTHING) -> list[str]:
    return pipeline.refresh(store, "x", Catalogue(listed), now, wanted)


def fill(store: Store, id: str, slots: np.ndarray, price: float) -> None:
    values = np.column_stack([price + slots % 7, 1.0 + slots % 5])
    store.write("x", id, slots, values, NOW, new=True)


def test_a_listing_appears_and_a_delisting_leaves(store: Store) -> None:
    refreshed(store, MARKETS)
    assert refreshed(store, [*MARKETS[1:], market("doge", "usd")]) == sorted(
        each.id for each in [*MARKETS[1:], market("doge", "usd")]
    )
    assert MARKETS[0].id not in store.watched("x")
    assert store.watched("x")["x:dogeusd"].name == "DOGE/USD"


def test_what_left_keeps_its_ranks_only_as_long_as_its_samples(store: Store) -> None:
    refreshed(store, MARKETS)
    slots = store.ring.slots(NOW)
    fill(store, MARKETS[0].id, slots, 10)
    pipeline.evaluate(store, Outbox(store.redis), (), [MARKETS[0].id], NOW)
    refreshed(store, MARKETS[1:])
    assert pipeline.leavers(store, ["x"]) == [MARKETS[0].id]
    pipeline.evaluate(store, Outbox(store.redis), (), pipeline.leavers(store, ["x"]), NOW + DAY + 120)
    assert store.ranking("price") == []
    assert pipeline.leavers(store, ["x"]) == []


@pytest.mark.parametrize("listed", [[], MARKETS[:3]], ids=["empty", "less than half"])
def test_a_catalogue_that_shrank_is_refused_and_told(store: Store, listed: list[Market]) -> None:
    refreshed(store, MARKETS)
    with pytest.raises(SourceError):
        refreshed(store, listed)
    assert len(store.watched("x")) == len(MARKETS)
    assert "catalogue" in store.status("x")["last_error"]
    assert len(refreshed(store, MARKETS[:4])) == 4  # half as long is accepted


def test_a_catalogue_that_stays_short_for_a_day_is_taken_for_true(store: Store) -> None:
    refreshed(store, MARKETS)
    for hour in range(24):
        with pytest.raises(SourceError):
            refreshed(store, MARKETS[:3], NOW + hour * 3_600)
    assert len(refreshed(store, MARKETS[:3], NOW + DAY)) == 3
    with pytest.raises(SourceError):
        refreshed(store, [], NOW + 3 * DAY)


def test_only_the_most_traded_are_watched(store: Store) -> None:
    assert refreshed(store, MARKETS, wanted=Wanted(quotes=("usd",), top=2)) == ["x:ethusd", "x:polusd"]


def test_an_alias_keeps_the_history_of_a_renamed_market(store: Store) -> None:
    slots = store.ring.slots(NOW)
    fill(store, "x:maticusd", slots[:-60], 10)
    fill(store, "x:polusd", slots[-90:], 20)
    wanted = Wanted(aliases={"pol": "matic"})
    for _ in range(2):
        refreshed(store, MARKETS, wanted=wanted)
        values = store.windows(["x:polusd", "x:maticusd"], NOW).values
        np.testing.assert_array_equal(values[:, 0, :-90], values[:, 1, :-90])
        np.testing.assert_array_equal(values[0, 0, -90:], 20 + slots[-90:] % 7)
    assert store.answered(["x:polbtc"]) == 0  # without a history to continue there is no ring
    pipeline.evaluate(store, Outbox(store.redis), (), ["x:polusd"], NOW)
    assert store.ranking("price") == ["x:polusd:price"]
    assert not math.isnan(values[0, 0, 0])


def test_the_longest_not_asked_come_first_and_all_come_in_turn(store: Store) -> None:
    markets = refreshed(store, MARKETS)
    asked: list[str] = []
    for tick in range(4):
        chosen = pipeline.due(store, "x", markets, 3)
        assert len(chosen) == 3
        for number, id in enumerate(chosen):
            if number:
                fill(store, id, np.array([store.ring.slot(NOW)]), 1.0)
            store.failed("x", NOW + tick, "not_json", "", id)
        asked += chosen
    assert set(asked[:8]) == set(markets)
    assert asked[8:] == asked[:1] + asked[1:4]
    assert store.status("x")["deferred"] == "5"


def test_a_budget_that_pays_for_all_defers_none(store: Store) -> None:
    markets = refreshed(store, MARKETS)
    assert pipeline.due(store, "x", markets, 8) == markets
    assert pipeline.due(store, "x", markets, None) == markets
    assert store.status("x")["deferred"] == "0"
