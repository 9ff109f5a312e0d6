"""Reads what rules need to know of other exchanges: the newest prices of the markets of the same pair."""

from collections.abc import Sequence

import numpy as np

from tracker.alerts.rules import LevelRule, Series
from tracker.alerts.rules.spread import FEWEST, medians, pair_of
from tracker.models import PRICE, VOLUME
from tracker.store.series import Store

#: So many newest slots are compared, and the time of a rule's ``for`` before them.
LOOK_BACK = 64
#: Watch lists are read again after so many seconds. They change once an hour.
LIFE = 60


class Peers:
    """The exchanges of each pair, and the medians of their prices. A process keeps one."""

    def __init__(self, store: Store, sources: Sequence[str]):
        self._store, self._sources = store, sources
        self._markets_of: dict[str, list[str]] = {}
        self._read_at = float("-inf")

    def beside(self, series: Series, rules: Sequence[LevelRule], now: float) -> Series:
        """``series``, which are prices, with the medians that ``rules`` need beside them. One exchange with the store.

        Only pairs of metrics that a rule matches are read. A pair with fewer exchanges than any rule asks for has no
        median.
        """
        needing = [rule for rule in rules if rule.NEEDS_PEERS]
        ring = self._store.ring
        count = min(LOOK_BACK + max(rule.hold for rule in needing) // ring.step, ring.rows)
        markets_of = self._pairs(now)
        rows = [
            row
            for row, metric in enumerate(series.metrics)
            if len(markets_of.get(_pair(metric), ())) >= FEWEST and any(rule.matches(metric) for rule in needing)
        ]
        beside = {name: np.full(series.values.shape, np.nan) for name in ("median", "exchanges")}
        if rows:
            pairs = dict.fromkeys(_pair(series.metrics[row]) for row in rows)
            markets = [market for pair in pairs for market in markets_of[pair]]
            values, final = self._store.tails(markets, now, count)
            values[:, np.arange(count) >= final[:, None]] = np.nan
            wanted = [series.metrics[row].rpartition(":")[0] for row in rows]
            for name, newest in medians(wanted, markets, values[PRICE], values[VOLUME]).items():
                beside[name][rows, -count:] = newest
        return Series(series.values, series.step, series.metrics, {**series.beside, **beside}, series.closed)

    def _pairs(self, now: float) -> dict[str, list[str]]:
        """Pair -> its markets on all exchanges."""
        if not 0 <= now - self._read_at < LIFE:
            found: dict[str, list[str]] = {}
            for market in sorted({market for source in self._sources for market in self._store.watched(source)}):
                found.setdefault(pair_of(market), []).append(market)
            self._markets_of, self._read_at = found, now
        return self._markets_of


def _pair(metric: str) -> str:
    return pair_of(metric.rpartition(":")[0])
