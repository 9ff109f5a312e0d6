"""Finds which rules fire now, on which rows of windows, and which firings are over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tracker.alerts.rules.base import LevelRule, Rule, worded
from tracker.alerts.rules.series import Series, WindowSlice
from tracker.models import Alert, matches

#: Only a fresh slot may alert: the one in progress, and at least this many before it. Old history pages nobody.
FRESH_STEPS = 2


@dataclass(frozen=True)
class Edge:
    """A rising edge: its row and column, its value, the baseline and its present samples, and the rule's details."""

    row: int
    column: int
    value: float
    baseline: float
    samples: int
    details: dict[str, Any] | None = None

    def alert(self, rule: LevelRule, metric: str, slot: int, now: float) -> Alert:
        """The alert of this edge of ``metric`` in ``slot``, found at ``now``."""
        found = Alert(
            rule.name, metric, slot, self.value, self.baseline, rule.told, self.samples, rule.window, now,
            rule.KIND, rule.severity, details=self.details,
        )  # fmt: skip
        return worded(found, rule)


def fresh_steps(interval: float, step: int) -> int:
    """How many steps a slot stays fresh if samples come every ``interval`` seconds. No slot gets old unseen."""
    return max(FRESH_STEPS, math.ceil(interval / step) + 1)


def by_field(rules: Sequence[Rule]) -> dict[str, list[LevelRule]]:
    """The rules with a level, by the field that they are for. Those for any metric come first, under ``""``."""
    levels = [rule for rule in rules if isinstance(rule, LevelRule)]
    fields = sorted({rule.field for rule in levels})
    return {field: [rule for rule in levels if rule.field == field] for field in fields}


def screen(series: Series, rules: Sequence[LevelRule], steps: int = FRESH_STEPS) -> np.ndarray:
    """The rows, ascending, on which one of ``rules`` may fire now. It is cheap; ``firings`` decides."""
    at = _fresh(series, steps)
    found = np.zeros(len(series.values), bool)
    for rule in rules:
        found |= (rule.peak(at) > rule.limit) & matched(rule.match, series.metrics)
    return np.flatnonzero(found)


def firings(series: Series, rules: Sequence[LevelRule], steps: int = FRESH_STEPS) -> list[tuple[LevelRule, Edge]]:
    """The rising edges in fresh slots of all ``rules``, by rule."""
    at = _fresh(series, steps)
    found = []
    for rule in rules:
        found += [(rule, edge) for edge in _edges(at, rule) if rule.matches(series.metrics[edge.row])]
    return found


def rising_edges(series: Series, rule: LevelRule, steps: int = FRESH_STEPS) -> list[Edge]:
    """The rising edges of ``rule`` in the slot in progress and the ``steps`` before it, oldest first.

    A rising edge is a slot above the limit whose last decided predecessor was clear. Slots that are neither above nor
    clear are skipped; if nothing was decided before, the slot counts as an edge. A row's newest sample is not final: it
    may be above, but never clear.
    """
    return _edges(_fresh(series, steps), rule)


def look_back(series: Series, rule: LevelRule, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The levels of the slot in progress and the ``steps`` before it; which are above, and which are rising edges.

    (n, steps + 1) each, oldest slot first. Rising edges are as in ``rising_edges``.
    """
    at = _fresh(series, steps)
    return rule.levels(at), _judged(at, rule)[0], _rising(at, rule)


def cleared(series: Series, rule: LevelRule, since: np.ndarray) -> np.ndarray:
    """Whether a firing of ``rule`` in the column ``since`` (n,) of each row is over: bool (n,).

    It is over if the last decided final slot from there on was clear. Missing slots end nothing.
    """
    standing, column = _last_judged(series, rule, series.values.shape[1])
    return (standing < 0) & (column >= since)


def _fresh(series: Series, steps: int) -> WindowSlice:
    last = series.values.shape[1] - 1
    return WindowSlice(series, last - steps, last)


def _edges(at: WindowSlice, rule: LevelRule) -> list[Edge]:
    rising = _rising(at, rule)
    if not rising.any():
        return []
    values, (baseline, samples) = rule.values(at), rule.grounds(at)
    found = []
    for k, row in np.argwhere(rising.T).tolist():
        numbers = float(values[row, k]), float(baseline[row, k]), int(samples[row, k])
        found.append(Edge(row, at.first + k, *numbers, rule.details(at, row, k)))
    return found


def _rising(at: WindowSlice, rule: LevelRule) -> np.ndarray:
    """Which slots are rising edges of ``rule``: bool (n, k)."""
    above, clear = _judged(at, rule)
    rows = np.flatnonzero(above.any(axis=1))
    if not len(rows):
        return above
    over, decided = above[rows], above[rows] | clear[rows]
    last = np.maximum.accumulate(np.where(decided, np.arange(1, decided.shape[1] + 1), 0), axis=1)
    before = np.hstack([np.zeros((len(rows), 1), int), last[:, :-1]])  # the last decided slot before each; 0: none
    known = np.hstack([_firing_before(at, rule, rows)[:, None], over])
    above[rows] = over & ~np.take_along_axis(known, before, axis=1)
    return above


def _firing_before(at: WindowSlice, rule: LevelRule, rows: np.ndarray) -> np.ndarray:
    """For each of ``rows``: whether the last decided slot before ``at`` was above. One look is mostly enough."""
    if at.first == 0:
        return np.zeros(len(rows), bool)
    before = at.columns(at.first - 1, at.first - 1)
    above, clear = (each[rows, 0] for each in _judged(before, rule))
    far = np.flatnonzero(~(above | clear))
    if len(far):
        above[far] = _last_judged(at.series.take(rows[far]), rule, at.first - 1)[0] > 0
    return np.asarray(above)


def _judged(at: WindowSlice, rule: LevelRule) -> tuple[np.ndarray, np.ndarray]:
    """(above, clear): bool (n, k) each. Above means here: for the whole ``hold`` of the rule."""
    above, clear = rule.judge(at)
    if held := rule.hold // at.step:
        before, _ = rule.judge(at.columns(max(at.first - held, 0), at.last))
        pad = np.zeros((len(before), held + above.shape[1] - before.shape[1]), bool)  # before the window none was
        above = np.all(sliding_window_view(np.hstack([pad, before]), held + 1, axis=1), axis=2)
    return above, clear


def _last_judged(series: Series, rule: LevelRule, before: int) -> tuple[np.ndarray, np.ndarray]:
    """(1 above, -1 clear, 0 none; its column) of each row's last decided slot before the column ``before``: (n,) each.

    Each look covers twice as many columns as the one before.
    """
    count = len(series.values)
    standing, column = np.zeros(count, int), np.full(count, -1)
    rows, look = np.arange(count), 1
    while len(rows) and before > 0:
        first = max(before - look, 0)
        above, clear = _judged(WindowSlice(series, first, before - 1), rule)
        judged = above | clear
        last = judged.shape[1] - 1 - np.argmax(judged[:, ::-1], axis=1)
        found = judged.any(axis=1)
        standing[rows[found]] = np.where(above[found, last[found]], 1, -1)
        column[rows[found]] = first + last[found]
        rows, before, look = rows[~found], first, 2 * look
        series = series.take(np.flatnonzero(~found))
    return standing, column


@lru_cache(4_096)
def matched(globs: tuple[str, ...], metrics: tuple[str, ...]) -> np.ndarray:
    """Which of ``metrics`` (n,) one of ``globs`` matches: bool (n,)."""
    if "*" in globs:
        return np.ones(len(metrics), bool)
    return np.array([matches(globs, metric) for metric in metrics], bool)
