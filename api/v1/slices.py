"""Cuts the part of a window that a request asks for, and makes its steps coarser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from api.serving.problems import refuse
from tracker.series import stats
from tracker.series.ring import DAY, Ring

#: Each reduces (steps, slots per step) to (steps,).
AGGREGATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda slots: stats.mean_present(slots)[0],
    "min": lambda slots: np.fmin.reduce(slots, axis=1),
    "max": lambda slots: np.fmax.reduce(slots, axis=1),
    "last": lambda slots: stats.last_present(slots)[1],
}


class Asked(Protocol):
    """The query of a series, see schemas.SeriesQuery."""

    since: int | None
    step: int | None
    aggregate: str


@dataclass(frozen=True)
class SeriesSlice:
    """``values`` (n, m): n series of m steps. The first step opens at ``start``; each is ``step`` seconds long.

    The first ``closed`` steps have ended. The first ``final`` of these do not change any more.
    """

    values: np.ndarray
    start: int
    step: int
    closed: int
    final: int

    @property
    def place(self) -> dict[str, Any]:
        return {"start": self.start, "step": self.step, "closed": self.closed, "final": self.final}


def cut(values: np.ndarray, final: int, ring: Ring, now: float, asked: Asked) -> SeriesSlice:
    """Cuts ``values`` (n, rows), which are windows at ``now``. Their first ``final`` slots are final.

    Ends the request with a problem if the step is not possible.
    """
    whole = SeriesSlice(values, ring.first(now), ring.step, values.shape[1] - 1, final)
    return _since(_coarser(whole, ring, asked), asked.since)


def csv(shown: SeriesSlice) -> str:
    """The first series as lines ``slot,value``: opening time in Unix seconds, and the value, empty if it is missing."""
    values = shown.values[0].tolist()
    slots = range(shown.start, shown.start + len(values) * shown.step, shown.step)
    lines = (f"{slot},{'' if value != value else repr(value)}" for slot, value in zip(slots, values, strict=True))
    return "\n".join(["slot,value", *lines, ""])


def _coarser(whole: SeriesSlice, ring: Ring, asked: Asked) -> SeriesSlice:
    """Makes the steps coarser. Steps begin at multiples of their length. Only the last may be incomplete."""
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
    """The steps that begin at ``since`` or later."""
    if since is None or since <= whole.start:
        return whole
    left_out = min(-(-(since - whole.start) // whole.step), whole.values.shape[1])
    start = whole.start + left_out * whole.step
    closed, final = max(whole.closed - left_out, 0), max(whole.final - left_out, 0)
    return SeriesSlice(whole.values[:, left_out:], start, whole.step, closed, final)
