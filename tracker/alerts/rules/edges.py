"""Finds which rules fire now, on which rows of windows, and which firings are over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tracker.alerts.rules.base import SeriesRule, WindowSlice, worded
from tracker.models import Alert, matches
from tracker.series.stats import last_present

#: Only a fresh slot may alert: the one in progress, and at least this many before it. Old history pages nobody.
FRESH_STEPS = 2


@dataclass(frozen=True)
class Edge:
    """A rising edge: its row and column in the window, its value, the baseline and the baseline's present samples."""

    row: int
    column: int
    value: float
    baseline: float
    samples: int

    def alert(self, rule: SeriesRule, metric: str, slot: int, now: float) -> Alert:
        """The alert of this edge of ``metric`` in ``slot``, found at ``now``."""
        found = Alert(
            rule.name, metric, slot, self.value, self.baseline, rule.told, self.samples, rule.window, now,
            rule.KIND, rule.severity,
        )  # fmt: skip
        return worded(found, rule)


def fresh_steps(interval: float, step: int) -> int:
    """How many steps a slot stays fresh if samples come every ``interval`` seconds. No slot gets old unseen."""
    return max(FRESH_STEPS, math.ceil(interval / step) + 1)


def screen(
    values: np.ndarray, metrics: tuple[str, ...], rules: Sequence[SeriesRule], step: int, steps: int = FRESH_STEPS
) -> np.ndarray:
    """The rows, ascending, on which one of ``rules`` may fire now. It is cheap; ``rising_edges`` decides.

    ``values`` as in WindowSlice, of ``metrics`` (n,).
    """
    at = _fresh(values, step, steps)
    found = np.zeros(len(values), bool)
    for rule in rules:
        found |= (rule.peak(at) > rule.limit) & _mask(rule.match, metrics)
    return np.flatnonzero(found)


def firings(
    values: np.ndarray, metrics: Sequence[str], rules: Sequence[SeriesRule], step: int, steps: int = FRESH_STEPS
) -> list[tuple[SeriesRule, Edge]]:
    """The rising edges in fresh slots of all ``rules``, by rule; ``values`` as in WindowSlice, of ``metrics`` (n,)."""
    at = _fresh(values, step, steps)
    found = []
    for rule in rules:
        found += [(rule, edge) for edge in _edges(at, rule) if rule.matches(metrics[edge.row])]
    return found


def rising_edges(values: np.ndarray, rule: SeriesRule, step: int, steps: int = FRESH_STEPS) -> list[Edge]:
    """The rising edges of ``rule`` in the slot in progress and the ``steps`` before it, oldest first.

    ``values`` as in WindowSlice. A rising edge is a slot above the limit whose last decided predecessor was clear.
    Slots that are neither above nor clear are skipped; if nothing was decided before, the slot counts as an edge. A
    row's newest sample is not final: it may be above, but never clear.
    """
    return _edges(_fresh(values, step, steps), rule)


def newest_level(values: np.ndarray, rule: SeriesRule, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The level of the slot in progress, and whether it is above: (n,) each; ``values`` as in WindowSlice."""
    at = _fresh(values, step, 0)
    return rule.levels(at)[:, 0], _judged(at, rule)[0][:, 0]


def cleared(values: np.ndarray, rule: SeriesRule, since: np.ndarray, step: int) -> np.ndarray:
    """Whether a firing of ``rule`` in the column ``since`` (n,) of each row is over: bool (n,).

    It is over if the last decided final slot from there on was clear. Missing slots end nothing.
    """
    newest, _ = last_present(values)
    standing, column = _last_judged(values, newest, rule, values.shape[1], step)
    return (standing < 0) & (column >= since)


def _fresh(values: np.ndarray, step: int, steps: int = FRESH_STEPS) -> WindowSlice:
    newest, _ = last_present(values)
    return WindowSlice(values, newest, values.shape[1] - 1 - steps, values.shape[1] - 1, step)


def _edges(at: WindowSlice, rule: SeriesRule) -> list[Edge]:
    above, clear = _judged(at, rule)
    rows = np.flatnonzero(above.any(axis=1))
    if not len(rows):
        return []
    firing: Any = _firing_before(at, rule, rows)
    baseline, samples = rule.grounds(at)
    found = []
    for k in range(above.shape[1]):
        for row in rows[above[rows, k] & ~firing]:
            found.append(Edge(
                int(row), at.first + k, float(at.value[row, k]), float(baseline[row, k]), int(samples[row, k])
            ))  # fmt: skip
        firing = np.where(above[rows, k], True, firing & ~clear[rows, k])
    return found


def _firing_before(at: WindowSlice, rule: SeriesRule, rows: np.ndarray) -> np.ndarray:
    """For each of ``rows``: whether the last decided slot before ``at`` was above. One look is mostly enough."""
    if at.first == 0:
        return np.zeros(len(rows), bool)
    above, clear = (each[rows, 0] for each in _judged(at.column_before(), rule))
    far = np.flatnonzero(~(above | clear))
    if len(far):
        values, newest = at.values[rows[far]], at.newest[rows[far]]
        above[far] = _last_judged(values, newest, rule, at.first - 1, at.step)[0] > 0
    return np.asarray(above)


def _judged(at: WindowSlice, rule: SeriesRule) -> tuple[np.ndarray, np.ndarray]:
    """(above, clear): bool (n, k) each. Above means here: for the whole ``hold`` of the rule."""
    above, clear = rule.judge(at)
    if held := rule.hold // at.step:
        before, _ = rule.judge(WindowSlice(at.values, at.newest, max(at.first - held, 0), at.last, at.step))
        pad = np.zeros((len(before), held + above.shape[1] - before.shape[1]), bool)  # before the window none was
        above = np.all(sliding_window_view(np.hstack([pad, before]), held + 1, axis=1), axis=2)
    return above, clear


def _last_judged(
    values: np.ndarray, newest: np.ndarray, rule: SeriesRule, before: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """(1 above, -1 clear, 0 none; its column) of each row's last decided slot before the column ``before``: (n,) each.

    Each look covers twice as many columns as the one before.
    """
    standing, column = np.zeros(len(values), int), np.full(len(values), -1)
    rows, look = np.arange(len(values)), 1
    while len(rows) and before > 0:
        first = max(before - look, 0)
        above, clear = _judged(WindowSlice(values[rows], newest[rows], first, before - 1, step), rule)
        judged = above | clear
        last = judged.shape[1] - 1 - np.argmax(judged[:, ::-1], axis=1)
        found = judged.any(axis=1)
        standing[rows[found]] = np.where(above[found, last[found]], 1, -1)
        column[rows[found]] = first + last[found]
        rows, before, look = rows[~found], first, 2 * look
    return standing, column


@lru_cache(4_096)
def _mask(globs: tuple[str, ...], metrics: tuple[str, ...]) -> np.ndarray:
    if "*" in globs:
        return np.ones(len(metrics), bool)
    return np.array([matches(globs, metric) for metric in metrics], bool)
