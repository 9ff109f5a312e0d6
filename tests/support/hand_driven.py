"""A clock that tests set, an exchange that follows it, and the samples that its trades must become."""

import math

import numpy as np

from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import DEFAULT_RULES
from tracker.models import Market
from tracker.series.candles import accept

START = 1_700_000_040


class HandClock:
    """A clock that is set by hand."""

    def __init__(self, time):
        self.time = time
        self.speed = 1

    def now(self):
        return self.time


class Exchange:
    """A source in memory. ``trades``: market -> its final (slot -> price, volume).

    It answers what was known ``late`` seconds ago: the candle then in progress has half of its volume and another
    price. ``fails``: market -> the error that it raises. ``meanwhile`` is called once, before an answer is returned.
    """

    def __init__(self, clock, trades, step=60):
        self.clock, self.trades, self.step = clock, trades, step
        self.late = 0
        self.fails = {}
        self.asked = []
        self.skew = None
        self.meanwhile = lambda: None

    def markets(self):
        return [Market(id, "a", "b") for id in self.trades]

    def candles(self, market, since):
        market = market.id
        self.asked.append((market, since))
        if market in self.fails:
            raise self.fails[market]
        known = self.clock.now() - self.late
        rows = [
            (slot, price, volume) if slot + self.step <= known else (slot, price * 1.01, volume / 2)
            for slot, (price, volume) in self.trades[market].items()
            if since <= slot <= known
        ]
        answer = accept(rows, since, self.step, self.clock.now())
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return answer


def every_minute(first, count, step=60):
    """A trade in each slot; neighbours differ."""
    return {first + step * at: (100.0 + at % 17, 1.0 + at % 13) for at in range(count)}


def fetched(store, exchange, market="x:ab"):
    pipeline.fetch(store, "exchange", exchange, market, exchange.clock)


def expected(trades, slots, known):
    """What a ring must hold, (slots, 2). A slot without a trade has volume 0 and the last price."""
    rows, last = [], math.nan
    first = min(trades)
    for slot in range(min(first, int(slots[0])), int(slots[-1]) + 1, int(slots[1] - slots[0])):
        price, volume = trades.get(slot, (last, 0.0 if slot > first else math.nan))
        last = price
        if slot >= slots[0]:
            rows.append((price, volume) if slot + 60 <= known or slot not in trades else (price * 1.01, volume / 2))
    return np.array(rows)


def window(store, now, market="x:ab"):
    return store.windows([market], now).values[:, 0].T


def assert_final(store, exchange, market="x:ab", ago=0):
    """All slots that were closed ``ago`` seconds ago hold the final trades."""
    now = exchange.clock.now() - ago
    slots = store.ring.slots(now)[:-1]
    np.testing.assert_array_equal(window(store, now, market)[:-1], expected(exchange.trades[market], slots, math.inf))


def evaluated(store, redis, markets, now, rules=DEFAULT_RULES):
    return pipeline.evaluate(store, Outbox(redis), rules, markets, now).alerts
