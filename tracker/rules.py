"""Rules: when a metric's new value is one to alert on. Pure: windows and a rule in, firings out."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from tracker.ring import HOUR
from tracker.stats import last_present, mean_present

#: A slot is fresh, and may alert, for this many steps after the one in progress: history never pages anyone.
FRESH_STEPS = 2
#: A mean of decimal fractions is off by a few last digits: exactly 3 x it is not above 3 x it.
ROUNDING = 1 + 1e-12


@dataclass(frozen=True)
class Rule:
    """Fires when a value exceeds ``factor`` x its baseline, the mean of the ``baseline`` seconds before it.

    match: globs on metric ids; min_samples: present samples the baseline needs; min_baseline: the baseline must be
    above it; clear_factor: a closed slot at or below this x baseline ends the firing; cooldown: least seconds between
    two alerts of a metric.
    """

    name: str = "above-3x-1h-mean"
    match: tuple[str, ...] = ("*",)
    factor: float = 3.0
    baseline: int = HOUR
    min_samples: int = 30
    min_baseline: float = 0.0
    clear_factor: float = 2.0
    cooldown: int = HOUR

    def matches(self, metric: str) -> bool:
        return any(fnmatchcase(metric, glob) for glob in self.match)


DEFAULT_RULES = (Rule(),)


@dataclass(frozen=True)
class Edge:
    """A rising edge: row and column of the window it is in, its value, and the baseline's mean and present samples."""

    row: int
    column: int
    value: float
    baseline: float
    samples: int


def edges(values: np.ndarray, rule: Rule, step: int, steps: int = FRESH_STEPS) -> list[Edge]:
    """The rising edges of ``rule`` in the slot in progress and the ``steps`` before it, oldest first.

    ``values``: (n, rows), oldest slot first, NaN for missing, the last column the slot in progress.

    A slot is above (value > factor x baseline), clear (value <= clear_factor x baseline) or neither; one without a
    baseline is neither. It is a rising edge if it is above and the last slot before it that was not neither was clear,
    or there is none. A row's newest sample may be above, but is not final, so nothing is concluded from its being low.
    """
    found = []
    newest, _ = last_present(values)
    for column in range(values.shape[1] - 1 - steps, values.shape[1]):
        above, _, baseline, samples = _levels(values, column, rule, step)
        rows = np.flatnonzero(above)
        for row in rows[~_firing_before(values[rows], newest[rows], column, rule, step)]:
            found.append(Edge(int(row), column, float(values[row, column]), float(baseline[row]), int(samples[row])))
    return found


def _levels(values: np.ndarray, column: int, rule: Rule, step: int) -> tuple[np.ndarray, ...]:
    """(above, clear, baseline, samples) of each row at ``column``."""
    baseline, samples = mean_present(values[:, max(0, column - rule.baseline // step) : column])
    enough = min(rule.min_samples, rule.baseline // step)  # long slots: no more than there are
    judged = (samples >= enough) & (baseline > rule.min_baseline)
    value, exact = values[:, column], baseline * ROUNDING
    above = judged & (value > rule.factor * exact)
    clear = judged & (value <= rule.clear_factor * exact)
    return above, clear, baseline, samples


def _firing_before(values: np.ndarray, newest: np.ndarray, column: int, rule: Rule, step: int) -> np.ndarray:
    """Whether the last slot before ``column`` that was above or clear was above: bool (n,). Mostly one look does."""
    firing = np.zeros(len(values), bool)
    open_rows = np.arange(len(values))
    while len(open_rows) and column > 0:
        column -= 1
        above, clear, *_ = _levels(values[open_rows], column, rule, step)
        clear &= column < newest[open_rows]
        firing[open_rows[above]] = True
        open_rows = open_rows[~(above | clear)]
    return firing
