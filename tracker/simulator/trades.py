"""The trades inside a minute that make up its candle. Pure: one candle always has the same trades."""

import math
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple

FEWEST, MOST = 4, 12


class Candle(NamedTuple):
    """A row of ``feeds.COLUMNS``."""

    open_time: float
    open: float
    high: float
    low: float
    close: float
    volume: float


class Trade(NamedTuple):
    """time: Unix seconds, whole; price in quote units; amount in base units."""

    time: float
    price: float
    amount: float


@lru_cache(16_384)
def trades(market: str, candle: Candle) -> list[Trade]:
    """The trades of a candle, ordered by time, all within its minute.

    The first trade is at the open, the last at the close, and two are at the high and the low. All amounts are
    multiples of the volume's last binary digit, so they sum to the volume exactly, in any order.
    """
    random = Random(f"{market}/{candle.open_time:.0f}")
    n = random.randint(FEWEST, MOST)
    extremes = random.sample([candle.high, candle.low], 2)
    inner = [random.choice(candle[1:5]) for _ in range(n - FEWEST)]
    prices = [candle.open, extremes[0], *inner, extremes[1], candle.close]
    shares = list(accumulate(random.uniform(0.1, 1) for _ in range(n)))
    digit = math.ulp(candle.volume)
    totals = [math.floor(share / shares[-1] * (candle.volume / digit)) * digit for share in shares[:-1]]
    amounts = [after - before for before, after in pairwise([0.0, *totals, candle.volume])]
    times = sorted(candle.open_time + random.randrange(60) for _ in range(n))
    return list(map(Trade, times, prices, amounts))


def until(market: str, candle: Candle, now: float) -> Candle | None:
    """The unfinished candle at ``now``; None before its first trade."""
    seen = [trade for trade in trades(market, candle) if trade.time <= now]
    if not seen:
        return None
    prices = [trade.price for trade in seen]
    volume = sum(trade.amount for trade in seen)
    return Candle(candle.open_time, prices[0], max(prices), min(prices), prices[-1], volume)
