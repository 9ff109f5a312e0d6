"""A market at an instant: candles, price, summary, trades, order book. Pure functions of (feed, now).

Nothing later than ``now`` shows. The candle of the minute in progress consists of its trades up to ``now``.
"""

from typing import Any

import numpy as np

from tracker.simulator import book
from tracker.simulator.catalogue import ASSETS, Listing
from tracker.simulator.feeds import MINUTE, Feed
from tracker.simulator.trades import Candle, trades, until

HOUR = 3_600
DAY = 86_400
#: Name of a period -> (seconds, offset of its boundaries). Weeks since 1970 begin on a Thursday.
PERIODS = {str(seconds): (seconds, 0) for seconds in (60, 180, 300, 900, 1800, 3600, 7200, 14400, 21600, 43200)} | {
    "86400": (DAY, 0),
    "259200": (3 * DAY, 0),
    "604800": (7 * DAY, 0),
    "604800_Monday": (7 * DAY, 4 * DAY),
}
#: Most candles of a period in an answer, and how far back an answer reaches.
MOST_CANDLES = 1_000
REACH = 500 * DAY


def minutes(feed: Feed, market: Listing, first: int, last: int, now: float) -> np.ndarray:
    """One-minute candles that open in [first, last], as known at ``now``: float64 (n, 6) as in ``feeds.COLUMNS``."""
    current = _minute(now)
    rows = feed.candles(market.exchange, market.pair, first, min(last, current))
    if len(rows) and rows[-1, 0] == current:
        unfinished = until(market.name, Candle(*rows[-1].tolist()), now)
        rows = np.concatenate([rows[:-1], [unfinished]]) if unfinished else rows[:-1]
    return rows


def ohlc(
    feed: Feed, market: Listing, period: str, now: float, after: int | None = None, before: int | None = None
) -> list[list[float]]:
    """Candles [CloseTime, open, high, low, close, volume, quote volume] of a period, oldest first.

    ``after`` and ``before`` are inclusive bounds of the close time. Returns the newest MOST_CANDLES within them, at
    most REACH old. The last candle may be unfinished: its CloseTime is in the future. Quote volume is volume times the
    mean of a minute's open, high, low and close.
    """
    seconds, offset = PERIODS[period]
    newest = _floor(now if before is None else min(now, before - seconds), seconds, offset)
    bound = max(_floor(newest - REACH, seconds, offset), offset)
    if after is not None:
        bound = max(bound, _floor(after - 1, seconds, offset))
    slots = MOST_CANDLES
    while True:  # minutes without a trade have no candle: look further back
        oldest = max(bound, newest - (slots - 1) * seconds)
        rows = _grouped(minutes(feed, market, oldest, newest + seconds - MINUTE, now), seconds, offset)
        if len(rows) >= MOST_CANDLES or oldest == bound:
            return [[int(close_time), *rest] for close_time, *rest in rows[-MOST_CANDLES:].tolist()]
        slots *= 2


def last_rows(feed: Feed, market: Listing, now: float) -> np.ndarray:
    """The candles of the last hour; if there are none, of the last day, else of REACH. See ``minutes``."""
    current = _minute(now)
    spans = (minutes(feed, market, current - span, current, now) for span in (HOUR, DAY, REACH))
    return next((rows for rows in spans if len(rows)), np.empty((0, 6)))


def price(feed: Feed, market: Listing, now: float) -> float:
    """Price of the last trade; 0 before the first trade."""
    rows = last_rows(feed, market, now)
    return float(rows[-1, 4]) if len(rows) else 0.0


def summary(feed: Feed, market: Listing, now: float) -> dict[str, Any]:
    """Summary of the last 24 hours. ``percentage`` is a fraction. Without a trade, change and volume are 0."""
    current = _minute(now)
    rows = minutes(feed, market, current - DAY + MINUTE, current, now)
    last = float(rows[-1, 4]) if len(rows) else price(feed, market, now)
    high, low, first = (rows[:, 2].max(), rows[:, 3].min(), rows[0, 1]) if len(rows) else (last, last, last)
    change = last - first
    return {
        "price": {
            "last": last,
            "high": float(high),
            "low": float(low),
            "change": {"percentage": float(change / first) if first else 0.0, "absolute": float(change)},
        },
        "volume": float(rows[:, 5].sum()),
        "volumeQuote": float(_quote_volumes(rows).sum()),
    }


def bulk_summary(feed: Feed, market: Listing, now: float) -> dict[str, Any]:
    """A summary in the form of bulk lists. ``volumeUSD`` uses the quote's usual price; 0 if that is not known."""
    one = summary(feed, market, now)
    _, dollars = ASSETS.get(market.quote, ("", 0.0))
    return one | {"volumeBase": one["volume"], "volumeUSD": one["volumeQuote"] * dollars}


def recent_trades(feed: Feed, market: Listing, now: float, since: int | None, limit: int) -> list[list[float]]:
    """The newest ``limit`` trades of the last 24 hours from ``since`` on, each [0, Unix seconds, price, amount]."""
    current = _minute(now)
    first = max(current - DAY, _floor(since, MINUTE) if since is not None else 0)
    candles = feed.candles(market.exchange, market.pair, first, current).tolist()
    newest: list[list[float]] = []
    for candle in reversed(candles):
        if len(newest) >= limit:
            break
        ones = (trade for trade in trades(market.name, Candle(*candle)) if (since or 0) <= trade.time <= now)
        newest += reversed([[0, int(time), price, amount] for time, price, amount in ones])
    return newest[:limit][::-1]


def order_book(feed: Feed, market: Listing, now: float) -> book.Book:
    """This minute's order book around the last price; empty before the first trade."""
    rows = last_rows(feed, market, now)
    if not len(rows):
        return book.Book(np.empty((0, 2)), np.empty((0, 2)))
    return book.draw(f"{market.name}/{_minute(now)}", rows[-1, 4], rows[:, 5].mean() or 1.0)


def _grouped(rows: np.ndarray, seconds: int, offset: int) -> np.ndarray:
    """Joins one-minute candles to longer ones: (n, 7), with closing time as first column and quote volume as last."""
    rows = np.column_stack([rows, _quote_volumes(rows)])
    if seconds > MINUTE and len(rows):
        openings = (rows[:, 0] - offset) // seconds * seconds + offset
        starts = np.flatnonzero(np.diff(openings, prepend=-1.0))
        joined = rows[starts]
        joined[:, 0] = openings[starts]
        joined[:, 2] = np.maximum.reduceat(rows[:, 2], starts)
        joined[:, 3] = np.minimum.reduceat(rows[:, 3], starts)
        joined[:, 4] = rows[np.append(starts[1:], len(rows)) - 1, 4]
        joined[:, 5:] = np.add.reduceat(rows[:, 5:], starts)
        rows = joined
    rows[:, 0] += seconds
    return rows


def _quote_volumes(rows: np.ndarray) -> np.ndarray:
    _, opens, highs, lows, closes, volumes = rows.T
    quoted: np.ndarray = volumes * ((opens + highs + lows + closes) / 4)
    return quoted


def _floor(time: float, seconds: int, offset: int = 0) -> int:
    return int((time - offset) // seconds * seconds + offset)


def _minute(now: float) -> int:
    return _floor(now, MINUTE)
