"""All metrics in one table, in memory, for the lists. It is read again after an evaluation."""

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
    """Where a row is in an order: rows of the first field first, those without a number last, equal ones by id."""

    field: int
    missing: bool
    number: float
    id: str


@dataclass(frozen=True)
class Order:
    """By a column of Summary, or by id if None; the largest first if ``down``."""

    column: str | None
    down: bool = False


@dataclass(frozen=True)
class Table:
    """Every metric that is watched or ranked; rows are in the order of their ids, columns have an entry a row.

    numbers: dtype SUMMARY, NaN and slot 0 where not evaluated; ranks, cv_ranks: positions, 0 for none; fields: columns
    of FIELDS.
    ``of`` and ``cv_of``: how many metrics of each field have that rank. ``oldest``: first slot of the window.
    ``version``: the store's, of all.
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
        """The row of a metric. Numbers whose newest sample has left the window since are left out."""
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
        """For an answer that shows rows of it."""
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
        """Those of ``chosen`` that come after ``place``. There need not be a row at ``place``."""
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
        """When that of the watched metrics which waits longest was evaluated, Unix seconds; not counting outdated ones.

        What is no longer watched is evaluated hourly, and not waited for.
        """
        watched = np.array([id.rpartition(":")[0] in self.markets for id in self.ids], bool)
        current = watched & (self.numbers["slot"] >= self.oldest)
        return float(self.numbers["at"][current].min()) if current.any() else 0.0

    def has(self, column: str) -> np.ndarray:
        """Which rows have a number there: bool (n,)."""
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
    """The table as of now, where the store's version is at least ``version``; raises StoreError."""
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
    """Each row's position among those of its field, the largest number first, and how many have one; see Store."""
    positions, counts = np.zeros(len(numbers), int), []
    for field in range(len(FIELDS)):
        chosen = np.flatnonzero((fields == field) & ~np.isnan(numbers))
        best_last = chosen[np.argsort(numbers[chosen], kind="stable")]
        positions[best_last[::-1]] = np.arange(1, len(chosen) + 1)
        counts.append(len(chosen))
    return positions, counts


def _rank(position: int, of: int) -> Rank | None:
    return Rank(int(position), of) if position else None
