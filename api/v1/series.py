"""What a request for a series asks for: cut out of its window, since when, in which steps."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from api.serving.answer import CachePolicy
from api.serving.problems import refuse
from api.v1 import rows
from tracker.models import Metric
from tracker.series import stats
from tracker.series.ring import DAY, Ring
from tracker.settings import Settings
from tracker.store.series import Store

#: How the samples of a coarser step become one value: columns are steps, the last axis is the slots of a step.
AGGREGATES = {
    "mean": lambda slots: stats.mean_present(slots)[0],
    "min": lambda slots: np.fmin.reduce(slots, axis=1),
    "max": lambda slots: np.fmax.reduce(slots, axis=1),
    "last": lambda slots: stats.last_present(slots)[1],
}


class Asked(Protocol):
    since: int | None
    step: int | None
    aggregate: str


@dataclass(frozen=True)
class SeriesSlice:
    """``values`` (n, m) begin at ``start`` and are ``step`` seconds apart.

    The first ``closed`` are of steps that have ended; the first ``final`` of these will not change any more.
    """

    values: np.ndarray
    start: int
    step: int
    closed: int
    final: int

    @property
    def place(self) -> dict[str, Any]:
        return {"start": self.start, "step": self.step, "closed": self.closed, "final": self.final}


class Shown(NamedTuple):
    """A metric as an answer shows it: its row, what is shown of its window, and what that is of."""

    row: dict[str, Any]
    cut: SeriesSlice
    keep: CachePolicy

    @property
    def document(self) -> dict[str, Any]:
        return self.row | self.cut.place | {"values": self.cut.values[0]}


def show(metric: Metric, asked: Asked, store: Store, settings: Settings) -> Shown | None:
    """What ``metric`` did, as ``asked``; None if there is no such metric. Raises StoreError."""
    now = settings.clock.now()
    view = store.view(metric.market, [metric], settings.sources, now)
    [standing] = view.standings
    if not view.market and not standing:
        return None
    row = rows.of_values(metric, view.market, view.values[0], view.final, standing, store.ring, now)
    return Shown(row, cut(view.values, view.final, store.ring, now, asked), CachePolicy.of(view, [metric], now))


def cut(values: np.ndarray, final: int, ring: Ring, now: float, asked: Asked) -> SeriesSlice:
    """Out of ``values`` (n, rows), windows at ``now``, the first ``final`` slots of them final.

    A step that is not one is refused with a problem.
    """
    whole = SeriesSlice(values, ring.first(now), ring.step, values.shape[1] - 1, final)
    return _since(_coarser(whole, ring, asked), asked.since)


def csv(shown: SeriesSlice) -> str:
    """The one series of a cut as lines of ``slot,value``: opening time in Unix seconds, nothing where missing."""
    values = shown.values[0].tolist()
    slots = range(shown.start, shown.start + len(values) * shown.step, shown.step)
    lines = (f"{slot},{'' if value != value else repr(value)}" for slot, value in zip(slots, values, strict=True))
    return "\n".join(["slot,value", *lines, ""])


def _coarser(whole: SeriesSlice, ring: Ring, asked: Asked) -> SeriesSlice:
    """Steps begin at multiples of themselves; the first is the first that is whole, the last is in progress."""
    step = asked.step or ring.step
    if step % ring.step or DAY % step:
        refuse("query", "step", f"expected a multiple of {ring.step} that divides {DAY}, e.g. {5 * ring.step}")
    if step == ring.step:
        return whole
    slots, start = step // ring.step, -(-whole.start // step) * step
    values = whole.values[:, (start - whole.start) // ring.step :]
    steps = -(-values.shape[1] // slots)
    padded = np.full((len(values), steps * slots), np.nan)
    padded[:, : values.shape[1]] = values
    aggregated = AGGREGATES[asked.aggregate](padded.reshape(-1, slots)).reshape(len(values), steps)
    final = max((whole.start + whole.final * ring.step - start) // step, 0)
    return SeriesSlice(aggregated, start, step, steps - 1, min(final, steps - 1))


def _since(whole: SeriesSlice, since: int | None) -> SeriesSlice:
    """Steps that begin at ``since`` or later."""
    if since is None or since <= whole.start:
        return whole
    left_out = min(-(-(since - whole.start) // whole.step), whole.values.shape[1])
    start = whole.start + left_out * whole.step
    closed, final = max(whole.closed - left_out, 0), max(whole.final - left_out, 0)
    return SeriesSlice(whole.values[:, left_out:], start, whole.step, closed, final)
