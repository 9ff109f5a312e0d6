"""Reads what rules need to know of other exchanges: the newest prices of the markets of the same pair."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tracker.alerts.rules import LevelRule, Series, matched
from tracker.alerts.rules.spread import FEWEST, medians, pair_of
from tracker.models import PRICE, VOLUME
from tracker.store.series import Store

#: So many newest slots are compared, and the time of a rule's ``for`` before them.
LOOK_BACK = 32
#: Watch lists are read again after so many seconds. They change once an hour.
LIFE = 60


class Medians(NamedTuple):
    """The medians of some markets' pairs, in the newest slots.

    row_of: market -> its row; values: what rules need beside prices, (m + 1, slots) each. The last row is for markets
    that are not compared.
    """

    row_of: Mapping[str, int]
    values: Mapping[str, np.ndarray]

    def beside(self, prices: Series) -> Series:
        """The series ``prices`` with the medians beside them."""
        rows = [self.row_of.get(metric.rpartition(":")[0], -1) for metric in prices.metrics]
        beside = {**prices.beside, **{name: values[rows] for name, values in self.values.items()}}
        return Series(prices.values, prices.step, prices.metrics, beside, prices.closed)


class Peers:
    """The exchanges of each pair, and the medians of their prices. A process keeps one."""

    def __init__(self, store: Store, sources: Sequence[str]):
        self._store, self._sources = store, sources
        self._markets_of: dict[str, list[str]] = {}
        self._read_at = float("-inf")

    def medians(self, markets: Sequence[str], rules: Sequence[LevelRule], now: float) -> Medians:
        """The medians that ``rules`` need for ``markets``, read in one exchange with the store.

        Only pairs of markets that a rule matches are read, and only those of FEWEST exchanges or more.
        """
        needing = [rule for rule in rules if rule.NEEDS_PEERS]
        if not needing:
            return Medians({}, {})
        ring, markets_of = self._store.ring, self._pairs(now)
        count = min(LOOK_BACK + max(rule.hold for rule in needing) // ring.step, ring.rows)
        prices = tuple(f"{market}:price" for market in markets)
        matching = np.logical_or.reduce([matched(rule.match, prices) for rule in needing])
        pair_of_each = {market: pair_of(market) for market in itertools.compress(markets, matching)}
        pair_of_each = {each: pair for each, pair in pair_of_each.items() if len(markets_of.get(pair, ())) >= FEWEST}
        listed = [market for pair in dict.fromkeys(pair_of_each.values()) for market in markets_of[pair]]
        values, final = self._store.tails(listed, now, count)
        values[:, np.arange(count) >= final[:, None]] = np.nan
        wanted, pairs = list(pair_of_each.values()), list(map(pair_of, listed))
        found = medians([*wanted, ""], pairs, values[PRICE], values[VOLUME])
        return Medians({market: row for row, market in enumerate(pair_of_each)}, found)

    def of(self, market: str, now: float) -> list[str]:
        """The markets of the same pair on other exchanges."""
        return [each for each in self._pairs(now).get(pair_of(market), ()) if each != market]

    def _pairs(self, now: float) -> dict[str, list[str]]:
        """Pair -> its markets on all exchanges."""
        if not 0 <= now - self._read_at < LIFE:
            found: dict[str, list[str]] = {}
            for market in sorted({market for source in self._sources for market in self._store.watched(source)}):
                found.setdefault(pair_of(market), []).append(market)
            self._markets_of, self._read_at = found, now
        return self._markets_of
