"""Every source with a server that speaks its format: the right values are stored, and refusals get the right reason."""

import re
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.support.exchanges import STEP, ExchangeServer, moved
from tests.support.exchanges.coinbase import Coinbase
from tests.support.exchanges.cryptowatch import CryptowatchServer
from tests.support.exchanges.every import PAIRS, SERVERS, opened
from tests.support.exchanges.kraken import Kraken
from tests.support.servers import wait_for_room
from tracker import models, pipeline
from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.models import Market
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.sources import Source, open_source
from tracker.sources.exchange import KINDS, Exchange, _meaning
from tracker.store.series import Store

RING = Ring(STEP)
DOCS = Path(__file__).parents[2] / "docs" / "sources.md"


@pytest.fixture(params=SERVERS, ids=lambda server: server.name)
def exchange(request: pytest.FixtureRequest) -> Iterator[ExchangeServer]:
    with request.param({pair: moved(file) for pair, file in PAIRS.items()}) as server:
        yield server


@pytest.fixture
def source(exchange: ExchangeServer) -> Source:
    return opened(exchange)


def market(exchange: ExchangeServer, source: Source, pair: str) -> Market:
    return next(each for each in source.markets() if each.id == f"{exchange.name}:{pair}")


def expected(exchange: ExchangeServer, pair: tuple[str, str], slots: list[int]) -> np.ndarray:
    """(price, volume) of each slot by a plain loop. A minute without a trade has the last price, and volume 0."""
    trades, price, rows = exchange.trades[pair], float("nan"), []
    for slot in range(min(trades), slots[-1] + STEP, STEP):
        price, volume = trades.get(slot, (price, 0.0))
        if slot >= slots[0]:
            rows.append((price, volume))
    return np.array(rows)


def test_the_catalogue_is_mapped_to_ids_and_currencies(exchange: ExchangeServer, source: Source) -> None:
    found = {(each.id, each.base, each.quote) for each in source.markets()}
    assert found == {(f"{exchange.name}:ethbtc", "eth", "btc"), (f"{exchange.name}:powrbtc", "powr", "btc")}


@pytest.mark.parametrize("pair", PAIRS, ids="".join)
def test_the_first_fetch_stores_what_the_source_reaches_back_to(
    exchange: ExchangeServer, source: Source, pair: tuple[str, str], store: Store
) -> None:
    asked = market(exchange, source, "".join(pair).lower())
    store.watch(exchange.name, [asked])
    wait_for_room()
    before = time.time()
    pipeline.fetch(store, exchange.name, source, asked.id, Clock())
    now = time.time()
    slots = RING.slots(now)
    stored = store.windows([asked.id], now).values[:, 0].T
    present = ~np.isnan(stored).any(axis=1)
    oldest = slots[present][0]
    assert (
        exchange.name == "binance"
        or oldest
        in {  # binance has a candle for every minute
            exchange.rows(pair, RING.first(at), at)[-(exchange.reach or 10_000) :][0][0]
            for at in (before, now)  # a minute may have ended in between
        }
    )
    assert present[(slots >= oldest) & (slots <= RING.slot(before))].all()
    truth = expected(exchange, pair, slots.tolist())
    np.testing.assert_allclose(stored[present], truth[present], rtol=1e-6, atol=1e-8)


def test_a_later_fetch_asks_once_and_stores_the_gap(exchange: ExchangeServer, source: Source, store: Store) -> None:
    asked = market(exchange, source, "ethbtc")
    store.watch(exchange.name, [asked])
    wait_for_room()
    now = time.time()
    slots = RING.slots(now)
    truth = expected(exchange, ("ETH", "BTC"), slots.tolist())
    store.write(exchange.name, asked.id, slots[:-100], truth[:-100], now, new=True)
    before = len(exchange.arrivals)
    pipeline.fetch(store, exchange.name, source, asked.id, Clock())
    assert len(exchange.arrivals) == before + 1
    np.testing.assert_allclose(store.windows([asked.id], now).values[:, 0].T[:-1], truth[:-1], rtol=1e-6, atol=1e-8)


def test_a_silence_longer_than_the_source_reaches_stays_missing(store: Store) -> None:
    with Kraken({("ETH", "BTC"): moved("ethbtc")}) as exchange:
        source = opened(exchange)
        asked = market(exchange, source, "ethbtc")
        store.watch("kraken", [asked])
        now = time.time()
        slots = RING.slots(now)
        store.write("kraken", asked.id, slots[:10], np.tile([0.1, 1.0], (10, 1)), now, new=True)
        pipeline.fetch(store, "kraken", source, asked.id, Clock())
        values = store.windows([asked.id], now).values[:, 0]
        assert np.isnan(values[:, 12:700]).all()
        assert not np.isnan(values[:, 730:-1]).any()


def test_prices_of_all_markets_come_in_one_request(exchange: ExchangeServer, source: Source) -> None:
    markets = source.markets()
    before = len(exchange.arrivals)
    wait_for_room()
    found = source.tickers(markets)
    assert len(exchange.arrivals) == before + 1
    for each in markets:
        price, traded = exchange.newest((each.base.upper(), each.quote.upper()))
        assert found[each.id].price == pytest.approx(price, abs=1e-8)
        assert found[each.id].traded == pytest.approx(traded, rel=1e-3)


def test_the_table_of_errors_names_exceptions_of_ccxt() -> None:
    Exchange("kraken", "", 60, Clock())
    errors = import_module("ccxt.base.errors")
    for name in KINDS:
        error = getattr(errors, name)
        assert issubclass(error, errors.BaseError)
        if name != "BaseError":
            assert _meaning(error("rate limit")) == KINDS[name]
    assert _meaning(errors.OnMaintenance("sorry")) == KINDS["ExchangeNotAvailable"]
    assert _meaning(errors.ExchangeError("sorry")) == ("refused", {})
    assert _meaning(errors.ExchangeError("Rate limit reached"))[0] == "rate_limited"


def test_the_clocks_are_compared(exchange: ExchangeServer, source: Source) -> None:
    assert source.skew is None
    source.markets()
    assert abs(source.skew) < 2


def test_too_many_requests_are_understood_as_a_pause(exchange: ExchangeServer, source: Source) -> None:
    asked = market(exchange, source, "ethbtc")
    exchange.refuses = exchange.too_many
    for call in (source.markets, lambda: source.candles(asked, int(time.time() // STEP * STEP) - 60)):
        with pytest.raises(SourceError) as raised:
            call()
        assert raised.value.reason in ("rate_limited", "http_429")
        assert 5 < raised.value.wait <= 60
        assert not raised.value.permanent


@pytest.mark.parametrize(
    ("server", "reason"), [(server, reason) for server in SERVERS for reason in server.other_refusals]
)  # fmt: skip
def test_a_refusal_is_known_for_what_it_is(server: type[ExchangeServer], reason: str) -> None:
    with server({pair: moved(file) for pair, file in PAIRS.items()}) as exchange:
        source = opened(exchange)
        asked = market(exchange, source, "ethbtc")
        exchange.refuses = exchange.other_refusals[reason]
        with pytest.raises(SourceError) as raised:
            source.candles(asked, int(time.time() // STEP * STEP) - 60)
        assert raised.value.reason == reason
        assert raised.value.permanent == (reason in ("http_451", "http_401"))
        assert (raised.value.wait > 0) == ("Retry-After" in exchange.refuses[1] or reason == "http_429")


@pytest.mark.parametrize(
    "body", [b"", b"<html>We will be back soon</html>", b"null", b"{}", b'"candles"', b"17", b'{"data": "none"}']
)
def test_what_are_no_candles_is_refused_and_not_taken_for_silence(
    exchange: ExchangeServer, source: Source, body: bytes
) -> None:
    asked = market(exchange, source, "ethbtc")
    exchange.refuses = (200, {}, body)
    with pytest.raises(SourceError):
        source.candles(asked, int(time.time() // STEP * STEP) - 600)


def test_an_answer_without_end_is_cut_off(exchange: ExchangeServer, source: Source) -> None:
    asked = market(exchange, source, "ethbtc")
    exchange.refuses = (200, {}, b"[" + b"1," * 10_000_000 + b"1]")
    with pytest.raises(SourceError) as raised:
        source.candles(asked, int(time.time() // STEP * STEP) - 600)
    assert raised.value.reason == "too_long"


def test_a_number_that_would_take_for_ever_to_write_out_is_not_written_out() -> None:
    with Kraken({("ETH", "BTC"): moved("ethbtc")}) as exchange:
        source = opened(exchange)
        listed = exchange.listed(("A", "BTC")) | {"pair_decimals": 10**15}
        exchange.refuses = (200, {}, {"error": [], "result": {"A": listed}})
        assert [each.id for each in source.markets()] == ["kraken:abtc"]
        exchange.refuses = (200, {}, b'{"error": [], "result": {"A": {"c": ["1e999999999", "1"]}}}')
        with pytest.raises(SourceError) as raised:
            source.tickers([])
        assert raised.value.reason == "implausible"


def test_a_backfill_that_the_budget_interrupts_is_kept_and_goes_on(store: Store) -> None:
    with Coinbase({("ETH", "BTC"): moved("ethbtc")}) as exchange:
        purse = [4]  # the catalogue, and three pages of 300

        def pay(url: str) -> None:
            if not purse[0]:
                raise MustWait(5, "spent")
            purse[0] -= 1

        settings = load({"SOURCES": exchange.name, "EXCHANGE_URL": exchange.url})
        source = open_source(exchange.name, settings, pay)
        now = time.time()
        clock = Clock(now, 0)
        [market] = pipeline.refresh(store, exchange.name, source, now)
        with pytest.raises(MustWait, match="the budget pays for no more"):
            pipeline.fetch(store, exchange.name, source, market, clock)
        values = store.windows([market], now).values[:, 0]
        truth = expected(exchange, ("ETH", "BTC"), RING.slots(now).tolist()).T
        np.testing.assert_allclose(values[:, 5:900], truth[:, 5:900], rtol=1e-6, atol=1e-8)
        assert np.isnan(values[:, 900:]).all()
        with pytest.raises(MustWait, match="spent"):
            pipeline.fetch(store, exchange.name, source, market, clock)
        purse[0] = 2
        pipeline.fetch(store, exchange.name, source, market, clock)
        np.testing.assert_allclose(
            store.windows([market], now).values[:, 0, 5:-1], truth[:, 5:-1], rtol=1e-6, atol=1e-8
        )


def test_candles_of_the_future_are_refused(exchange: ExchangeServer, source: Source) -> None:
    asked = market(exchange, source, "ethbtc")
    exchange.ahead = 1_200
    with pytest.raises(SourceError) as raised:
        source.candles(asked, int(time.time() // STEP * STEP) - 600)
    assert raised.value.reason == "future"


def test_a_backfill_takes_as_many_requests_as_the_documents_say(exchange: ExchangeServer, source: Source) -> None:
    said = re.search(rf"^\| `{exchange.name}` \|.*\| (\d+) requests?", DOCS.read_text(), re.MULTILINE)
    asked = market(exchange, source, "ethbtc")
    before = len(exchange.arrivals)
    source.candles(asked, RING.first(time.time()))
    more = 1 if exchange.name == "kraken" else 0  # its answer does not show that the current minute has no trade yet
    assert int(said[1]) <= len(exchange.arrivals) - before <= int(said[1]) + more


def test_a_market_with_names_without_bounds_is_left_out_and_counted(store: Store) -> None:
    trades = moved("ethbtc")
    hostile = [("B" * 200_000, "BTC"), ("ETH", "Q" * 65), ("E/T", "BTC"), ("E T", "BTC")]
    with CryptowatchServer(dict.fromkeys([*hostile, ("ETH", "BTC")], trades)) as exchange:
        exchange.called = {pair: f"odd{at}" for at, pair in enumerate(hostile)}
        assert pipeline.refresh(store, "cryptowatch", opened(exchange), time.time()) == ["cryptowatch:ethbtc"]
    assert store.status("cryptowatch")["refused:bad_market"] == "4"
    with Kraken(dict.fromkeys([("B" * 65, "BTC"), ("ETH", "BTC")], trades)) as exchange:
        longest = exchange.called
        exchange.called = lambda pair: "x" * 129 if pair == ("ETH", "LTC") else longest(pair)
        exchange.trades[("ETH", "LTC")] = trades
        assert pipeline.refresh(store, "kraken", opened(exchange), time.time()) == ["kraken:ethbtc"]
    assert store.status("kraken")["refused:bad_market"] == "2"


def test_a_catalogue_without_bounds_is_refused_and_the_list_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CryptowatchServer({(f"C{number}", "BTC"): moved("ethbtc") for number in range(3)}) as exchange:
        pipeline.refresh(store, "cryptowatch", opened(exchange), time.time())
        monkeypatch.setattr(models, "LARGEST", 3)
        pipeline.refresh(store, "cryptowatch", opened(exchange), time.time())
        monkeypatch.setattr(models, "LARGEST", 2)
        with pytest.raises(SourceError, match="more than 2 markets"):
            pipeline.refresh(store, "cryptowatch", opened(exchange), time.time())
    assert len(store.watched("cryptowatch")) == 3
    assert store.status("cryptowatch")["refused:too_long"] == "1"
