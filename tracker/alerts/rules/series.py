"""What a rule looks at: windows of metrics, and the statistics of some of their columns."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self, TypeVar

import numpy as np

from tracker.models import FIELDS
from tracker.series.stats import last_present, mean_present, sliding_means

T = TypeVar("T")


class Series:
    """Windows of metrics, and other series of the same markets.

    values: (n, rows), oldest slot first, NaN for missing, the last column the slot in progress. A row's newest sample
    may still change, the ones before it do not; if ``closed``, that does not either. step: seconds of a slot. metrics:
    their ids (n,), where needed. beside: name -> (n, rows), or the newest columns alone, for rules that look at more
    than one series of a market.
    """

    def __init__(
        self, values: np.ndarray, step: int, metrics: Sequence[str] = (),
        beside: Mapping[str, np.ndarray] = MappingProxyType({}), closed: bool = False,
    ):  # fmt: skip
        self.values, self.step, self.metrics, self.beside, self.closed = values, step, tuple(metrics), beside, closed

    @cached_property
    def final(self) -> np.ndarray:
        """How many of the first columns of each row have values that stay: (n,)."""
        return np.full(len(self.values), self.values.shape[1]) if self.closed else last_present(self.values)[0]

    def take(self, rows: np.ndarray) -> "Series":
        """These ``rows`` alone, copied."""
        metrics = [self.metrics[row] for row in rows.tolist()] if self.metrics else ()
        beside = {name: values[rows] for name, values in self.beside.items()}
        return Series(self.values[rows], self.step, metrics, beside, self.closed)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> "Series":
        """The rows of all ``parts``, which have the same columns and the same names beside them."""
        beside = {name: np.concatenate([part.beside[name] for part in parts]) for name in parts[0].beside}
        metrics = [metric for part in parts for metric in part.metrics]
        return Series(np.concatenate([part.values for part in parts]), parts[0].step, metrics, beside, parts[0].closed)


class WindowSlice:
    """The columns ``first`` to ``last`` of ``series``, with the statistics that rules need, each computed once."""

    def __init__(self, series: Series, first: int, last: int):
        self.series, self.first, self.last = series, first, last
        self.values, self.step = series.values, series.step
        self.value = self.values[:, first : last + 1]
        self._known: dict[object, Any] = {}

    @cached_property
    def final(self) -> np.ndarray:
        """Whether a value stays: bool (n, k)."""
        return np.arange(self.first, self.last + 1) < self.series.final[:, None]

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """The result of ``compute``, which is called for the first request of ``key`` alone."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

    def beside(self, name: str) -> "WindowSlice":
        """The same columns of the series ``name`` beside this one."""
        of = self.series
        return self.once(
            ("beside", name),
            lambda: WindowSlice(Series(of.beside[name], of.step, closed=of.closed), self.first, self.last),
        )

    def value_beside(self, name: str) -> np.ndarray:
        """The values of the series ``name`` in these columns: (n, k), NaN where it is not known so far back."""
        values = self.series.beside[name]
        unknown = self.values.shape[1] - values.shape[1]
        known = values[:, max(self.first - unknown, 0) : max(self.last + 1 - unknown, 0)]
        return np.hstack([np.full((len(values), self.value.shape[1] - known.shape[1]), np.nan), known])

    def columns(self, first: int, last: int) -> "WindowSlice":
        """Other columns of the same series."""
        return self.once(("columns", first, last), lambda: WindowSlice(self.series, first, last))

    def means(self, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and number of the present samples in the ``seconds`` before each column: (n, k) each."""
        return self.once(("means", seconds), lambda: sliding_means(*self._before(seconds)))

    def ago(self, seconds: int) -> np.ndarray:
        """The values ``seconds`` before each column: (n, k)."""
        return self._before(seconds)[0][:, : self.value.shape[1]]

    def spread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, standard deviation and number of all present samples before each column: (n, k) each."""
        return self.once("spread", self._spread)

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """The share of the present samples before each column that are above 0, and their number: (n, k) each."""
        return self.once("shares", self._shares)

    def lately(self, slots: int) -> np.ndarray:
        """Each column and those before it, ``slots`` for the first one: (n, slots + k - 1), NaN before the window."""
        start = self.first - slots + 1
        seen = self.values[:, max(start, 0) : self.last + 1]
        return seen if start >= 0 else np.hstack([np.full((len(seen), -start), np.nan), seen])

    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        known = self.values[:, : self.last]
        counts, above = (
            _running(np.count_nonzero(found[:, : self.first], axis=1), found[:, self.first :])
            for found in (~np.isnan(known), known > 0)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return above / counts, counts

    def _before(self, seconds: int) -> tuple[np.ndarray, int]:
        """(the slots from ``seconds`` before the first column on, NaN before the window; how many ``seconds`` have)"""
        width = max(seconds // self.step, 1)
        start = self.first - width
        known = self.values[:, max(start, 0) : self.last]
        if start < 0:
            known = np.hstack([np.full((len(known), -start), np.nan), known])
        return known, width

    def _spread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Two passes over the slots before the first column. The slots between the columns are added to that."""
        before, between = self.values[:, : self.first], self.values[:, self.first : self.last]
        pivot, count = mean_present(before)
        pivot = np.where(count > 0, pivot, _first_present(between))[:, None]
        rest = before - pivot
        squares = np.einsum("ij,ij->i", rest, rest)
        gappy = np.isnan(squares)
        squares[gappy] = np.nansum(rest[gappy] ** 2, axis=1)
        more = np.nan_to_num(between - pivot)
        counts = _running(count, ~np.isnan(between))
        squares = _running(squares, more**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = _running(np.zeros(len(more)), more) / counts
            variance = np.maximum(squares / counts - offset**2, 0)
        return pivot + offset, np.sqrt(variance), counts


def of_markets(markets: Sequence[str], values: np.ndarray, step: int, field: str = "") -> Series:
    """The series of ``markets`` (m). ``values``: (fields * m, rows), all markets of the first field first.

    With a ``field``, the series of that field alone, with the other fields beside it.
    """
    ids = [f"{market}:{each}" for each in FIELDS for market in markets]
    if not field:
        return Series(values, step, ids)
    count, start = len(markets), list(FIELDS).index(field) * len(markets)
    fields = {each: values[at * count : (at + 1) * count] for at, each in enumerate(FIELDS)}
    return Series(fields.pop(field), step, ids[start : start + count], fields)


def _first_present(values: np.ndarray) -> np.ndarray:
    """The first value of each row of ``values`` (n, k) that is not NaN: (n,). 0 if there is none."""
    present = ~np.isnan(values)
    if not values.shape[1]:
        return np.zeros(len(values))
    found = values[np.arange(len(values)), np.argmax(present, axis=1)]
    return np.where(present.any(axis=1), found, 0)


def _running(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """``start`` (n,), and with the first, the first two ... of ``steps`` (n, k - 1) added: (n, k)."""
    return np.cumsum(np.hstack([start[:, None], steps]), axis=1)
