"""Slots and summaries, stored as fetches and evaluations would store them."""

from collections.abc import Sequence

import numpy as np

from tracker.models import Metric
from tracker.series.ring import Ring
from tracker.series.stats import describe
from tracker.store.series import Store

NOW = 1_700_000_100.0
RING = Ring()


def spread(stddev, mean=1_000.0):
    """A window with this standard deviation."""
    return mean + stddev * np.where(np.arange(RING.rows) % 2, 1.0, -1.0)


def write_slot(store: Store, markets: Sequence[str], slot: int, values: np.ndarray, final: bool = False) -> None:
    """Stores one slot, now in the window, of many ``markets`` that have rings: ``values`` (markets, fields)."""
    store._raw.ask(store._slot_written(markets, slot, values, final))


def settled(store, metrics, stats, now):
    store.finish([store.begin_save(metrics, stats, now)])


def save(store, field, **stddevs):
    """Saves the results of an evaluation of markets ``x:NAME``, each with its standard deviation or None."""
    rows = np.array(
        [spread(stddev) if stddev is not None else np.full(RING.rows, np.nan) for stddev in stddevs.values()]
    )
    settled(store, [Metric(f"x:{name}", field) for name in stddevs], describe(rows, 60), NOW)
