"""Prices of all markets of a source from one answer, without volumes."""

import time
from collections.abc import Sequence

import numpy as np

from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.errors import SourceError
from tracker.models import PRICE, VOLUME, Market, Ticker
from tracker.store.series import RING_LIFE, Store

MANY = [Market(f"x:pair{number:05}", "a", "b") for number in range(10_000)]


class Bulk:
    """A source with the ``prices`` of all markets. ``asked`` counts its requests."""

    skew = None

    def __init__(self, prices: dict[str, float]):
        self.prices = prices
        self.asked = 0
        self.error: SourceError | None = None

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        self.asked += 1
        if self.error:
            raise self.error
        return {market.id: Ticker(self.prices[market.id], 7.0) for market in markets if market.id in self.prices}


def newest(store: Store, markets: Sequence[str], now: float) -> np.ndarray:
    """(fields, markets) in the slot in progress at ``now``."""
    return store.windows(markets, now).values[:, :, -1]


def test_ten_thousand_markets_are_sampled_in_one_request_and_have_no_volume(store: Store) -> None:
    store.watch("x", MANY)
    source = Bulk({market.id: 1.0 + number for number, market in enumerate(MANY)})
    now = time.time()
    clock = Clock(now, 0)
    assert pipeline.sample(store, "x", source, clock) == sorted(source.prices)
    assert source.asked == 1
    ids = [market.id for market in MANY]
    values = newest(store, ids, now)
    np.testing.assert_array_equal(values[PRICE], np.arange(1.0, 10_001))
    assert np.isnan(values[VOLUME]).all()
    assert store.answered(ids) == len(ids)
    assert 0 < store.redis.ttl("dt1:ring:x:pair00000") <= RING_LIFE
    assert store.unanswered("x", ids, now - 1) == []
    pipeline.evaluate(store, Outbox(store.redis), (), ids[:3], now)
    assert len(store.ranking("volume")) == 0


def test_a_price_is_written_over_until_its_slot_ends_and_the_past_stays(store: Store) -> None:
    store.watch("x", MANY[:2])
    now = time.time() // 60 * 60 + 5
    slots = store.ring.slots(now)
    past = np.tile([5.0, 6.0], (len(slots), 1))
    store.write("x", MANY[0].id, slots[:-1], past[:-1], now, new=True)
    for at, price in ((now, 10.0), (now + 30, 11.0), (now + 60, 12.0)):
        pipeline.sample(store, "x", Bulk(dict.fromkeys((MANY[0].id, MANY[1].id), price)), Clock(at, 0))
    values = store.windows([MANY[0].id, MANY[1].id], now + 60).values
    assert values[PRICE, :, -2:].tolist() == [[11.0, 12.0], [11.0, 12.0]]
    assert (values[VOLUME, 0, :-2] == 6).all()
    assert np.isnan(values[VOLUME, :, -2:]).all()


def test_a_price_that_comes_after_its_slot_s_end_changes_nothing(store: Store) -> None:
    store.watch("x", MANY[:1])
    start = time.time() // 60 * 60
    pipeline.sample(store, "x", Bulk({MANY[0].id: 10.0}), Clock(start + 59, 0))
    times = iter([start + 59.5, start + 60.5])  # the times of the request and of the answer

    class Slow(Clock):
        def now(self) -> float:
            return next(times)

    assert pipeline.sample(store, "x", Bulk({MANY[0].id: 11.0}), Slow()) == []
    values, final = store.windows([MANY[0].id], start + 61)
    assert values[PRICE, 0, -2] == 10.0 and final[0] == 1_440


def test_a_market_that_is_not_in_the_answer_stays_as_it_was(store: Store) -> None:
    store.watch("x", MANY[:2])
    now = time.time()
    assert pipeline.sample(store, "x", Bulk({MANY[1].id: 3.0}), Clock(now, 0)) == [MANY[1].id]
    assert store.answered([MANY[0].id]) == 0
    assert store.unanswered("x", [MANY[0].id, MANY[1].id], now - 1) == [MANY[0].id]


def test_an_answer_that_is_refused_is_counted(store: Store) -> None:
    store.watch("x", MANY[:2])
    source = Bulk({})
    source.error = SourceError("not_json", "<html>")
    assert pipeline.sample(store, "x", source, Clock()) == []
    assert store.status("x")["refused:not_json"] == "1"
