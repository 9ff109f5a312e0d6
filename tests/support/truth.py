"""What must be stored of a generated market, computed from its candles by a plain loop."""

import time

import numpy as np

from tests.support.servers import wait_for
from tracker.simulator.feeds import Generated
from tracker.store.series import Store


def expected(feed: Generated, exchange: str, pair: str, slots: list[int]) -> list[tuple[float, float]]:
    """(price, volume) of each slot. Without a trade: the last price and volume 0; NaN before the first trade."""
    traded = {int(row[0]): (row[4], row[5]) for row in feed.candles(exchange, pair, slots[0], slots[-1])}
    price, rows = float("nan"), []
    for slot in slots:
        price, volume = traded.get(slot, (price, 0.0))
        rows.append((price, volume if price == price else float("nan")))
    return rows


def assert_complete(store: Store, feed: Generated) -> None:
    """Every slot of every market is stored as generated, except the one in progress and the one before it.

    The first five slots are not compared: they may have left the window since the first fetch.
    """

    def differences() -> list[str]:
        now = time.time()
        slots = store.ring.slots(now).tolist()
        found = []
        for listing in feed.markets:
            values = store.windows([f"{listing.exchange}:{listing.pair}"], now).values[:, 0].T
            truth = np.array(expected(feed, listing.exchange, listing.pair, slots))
            looked_at = slice(5, -2)
            if not np.array_equal(values[looked_at], truth[looked_at], equal_nan=True):
                bad = np.flatnonzero((values != truth).any(axis=1))[:5]
                found.append(f"{listing}: {[(slots[i], values[i], truth[i]) for i in bad]}")
        return found

    wait_for(lambda: not differences(), f"all samples are stored: {differences()}")
