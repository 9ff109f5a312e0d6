"""A table of all metrics, in memory, for the lists. After an evaluation it is read again from the store."""

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from api.serving.answer import UNASKED, CachePolicy
from api.v1 import rows
from tracker.models import FIELDS, Market, Metric, Rank, Summary
from tracker.store.layout import NUMBERS, SUMMARY
from tracker.store.series import Store


class Place(NamedTuple):
    """A row's place in an order. Rows are sorted by field, then rows without a number last, then by number, then by id.

    number: as in the column, 0.0 if it is missing or the order is by id alone.
    """

    field: int
    missing: bool
    number: float
    id: str


@dataclass(frozen=True)
class Order:
    """``column``: a number of Summary, or None for the id. ``down``: the largest first."""

    column: str | None
    down: bool = False


@dataclass(frozen=True)
class Table:
    """Every metric that is watched or ranked, n rows in the order of their ids.

    fields: int (n,), indices into FIELDS. markets: watched ones by id. numbers: dtype SUMMARY (n,), NaN and slot 0 if
    not evaluated. ranks, cv_ranks: int (n,), positions from 1, 0 for none. of, cv_of: number of ranked metrics of each
    field. oldest: first slot of the window. version: the store's, of all metrics.
    """

    ids: list[str]
    fields: np.ndarray
    markets: dict[str, Market]
    numbers: np.ndarray
    ranks: np.ndarray
    cv_ranks: np.ndarray
    of: list[int]
    cv_of: list[int]
    oldest: int
    version: bytes

    def row(self, at: int) -> dict[str, Any]:
        """The row of a metric. If its newest sample has left the window, its numbers are left out."""
        metric, field = Metric.parse(self.ids[at]), self.fields[at]
        summary = Summary(*self.numbers[at].item())
        return rows.row(
            metric,
            self.markets.get(metric.market),
            summary if summary.slot >= self.oldest else None,
            _rank(self.ranks[at], self.of[field]),
            _rank(self.cv_ranks[at], self.cv_of[field]),
        )

    def keep(self, now: float) -> CachePolicy:
        """The policy of an answer that shows rows of this table."""
        return CachePolicy((), self.version, self.evaluated, now)

    def sort(self, chosen: np.ndarray, order: Order) -> np.ndarray:
        """The rows ``chosen`` in ``order``; see Place."""
        field, missing, number = self._keys(chosen, order)
        sign = -1 if order.down else 1
        return chosen[np.lexsort((sign * chosen, sign * number, missing, field))]

    def place(self, at: int, order: Order) -> Place:
        field, missing, number = (column[0].item() for column in self._keys(np.array([at]), order))
        return Place(field, missing, number, self.ids[at])

    def behind(self, chosen: np.ndarray, order: Order, place: Place) -> np.ndarray:
        """The rows of ``chosen`` that come after ``place``. There may be no row at ``place``."""
        field, missing, number = self._keys(chosen, order)
        if order.down:
            number, limit, later = -number, -place.number, chosen < bisect_left(self.ids, place.id)
        else:
            limit, later = place.number, chosen >= bisect_right(self.ids, place.id)
        for column, value in ((number, limit), (missing, place.missing), (field, place.field)):
            later = (column > value) | ((column == value) & later)
        return chosen[later]

    @cached_property
    def evaluated(self) -> float:
        """The oldest evaluation time of the watched metrics, Unix seconds; 0 if there is none.

        Metrics without a sample in the window do not count, and neither do metrics that are no longer watched, because
        those are evaluated hourly.
        """
        watched = np.array([id.rpartition(":")[0] in self.markets for id in self.ids], bool)
        current = watched & (self.numbers["slot"] >= self.oldest)
        return float(self.numbers["at"][current].min()) if current.any() else 0.0

    def has(self, column: str) -> np.ndarray:
        """Which rows have a current number in ``column``: bool (n,)."""
        found: np.ndarray = ~np.isnan(self.numbers[column]) & (self.numbers["slot"] >= self.oldest)
        return found

    def _keys(self, chosen: np.ndarray, order: Order) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        none = np.zeros(len(chosen))
        if order.column is None:
            return none, none.astype(bool), none
        missing = ~self.has(order.column)[chosen]
        return self.fields[chosen], missing, np.where(missing, 0.0, self.numbers[order.column][chosen])


class Tables:
    """The newest table, shared by the threads of a process."""

    def __init__(self, store: Store, sources: tuple[str, ...]):
        self._store = store
        self._sources = sources
        self._lock = Lock()
        self._table: Table | None = None
        self._slot = 0
        self._asked = 0.0

    def newest(self, now: float) -> Table:
        """The table as of ``now``, at most UNASKED seconds behind the store; raises StoreError."""
        slot = self._store.ring.slot(now)
        with self._lock:
            fresh = self._slot == slot and time.monotonic() - self._asked < UNASKED
            if self._table is None or not fresh:
                version = self._store.version()
                if self._table is None or (self._table.version, self._slot) != (version, slot):
                    self._table = read(self._store, self._sources, now, version)
                self._slot, self._asked = slot, time.monotonic()
            return self._table


def read(store: Store, sources: tuple[str, ...], now: float, version: bytes) -> Table:
    """Reads the table as of ``now``. ``version``: the store's, asked for before. Raises StoreError."""
    markets = {id: market for source in sources for id, market in store.watched(source).items()}
    summaries = {field: store.summaries(field) for field in FIELDS}
    watched = {f"{market}:{field}" for market in markets for field in FIELDS}
    ids = sorted(watched.union(*(found for found, _ in summaries.values())))
    at = {id: row for row, id in enumerate(ids)}
    numbers = np.zeros(len(ids), SUMMARY)
    for column in NUMBERS:
        numbers[column] = np.nan
    for found, stored in summaries.values():
        numbers[[at[id] for id in found]] = stored
    columns = {field: column for column, field in enumerate(FIELDS)}
    fields = np.array([columns[id.rpartition(":")[2]] for id in ids], int)
    ranks, of = _ranked(numbers["stddev"], fields)
    cv_ranks, cv_of = _ranked(numbers["cv"], fields)
    return Table(ids, fields, markets, numbers, ranks, cv_ranks, of, cv_of, store.ring.first(now), version)


def _ranked(numbers: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Returns each row's position in its field, the largest number first, 0 for NaN; and how many have one per field.

    Equal numbers are in the order of Store.ranking: by id, backwards.
    """
    positions, counts = np.zeros(len(numbers), int), []
    for field in range(len(FIELDS)):
        chosen = np.flatnonzero((fields == field) & ~np.isnan(numbers))
        best_last = chosen[np.argsort(numbers[chosen], kind="stable")]
        positions[best_last[::-1]] = np.arange(1, len(chosen) + 1)
        counts.append(len(chosen))
    return positions, counts


def _rank(position: int, of: int) -> Rank | None:
    return Rank(int(position), of) if position else None
