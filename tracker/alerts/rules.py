"""Rules: when a metric's new value is one to alert on. Pure: windows and rules in, firings out.

Each kind of rule has a level for a slot and a limit for it: the slot is above (level > limit), clear (level <= clear
limit) or neither; one without a level, or without the grounds that the rule asks for, is neither. All else is common.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tracker.alerts.options import (
    Expected,
    duration,
    globs,
    is_template,
    names,
    number,
    one_of,
    option,
    require,
    text,
    whole,
)
from tracker.models import Alert, matches
from tracker.series.ring import DAY, HOUR
from tracker.series.stats import last_present, mean_present

#: A slot is fresh, and may alert, for this many steps after the one in progress at least: history never pages anyone.
FRESH_STEPS = 2
#: Means and quotients of decimal fractions are off by a few last digits: exactly 3 x a mean is not above 3 x it.
ROUNDING = 1 + 1e-12
SEVERITIES = ("info", "warning", "critical")
LARGE = 1e18
ANY = number(-LARGE, LARGE)
#: What a message may name: an alert's fields that are known when it is found, and what follows from them.
TOLD = (
    "rule", "metric", "slot", "value", "baseline", "factor", "samples", "window", "at", "kind", "severity", "ratio",
    "percent", "minutes",
)  # fmt: skip


class WindowSlice:
    """The columns ``first`` to ``last`` of windows, and what rules ask of them, each computed once.

    values: (n, rows), oldest slot first, NaN for missing, the last column the slot in progress; newest: (n,), the
    column of each row's newest sample.
    """

    def __init__(self, values: np.ndarray, newest: np.ndarray, first: int, last: int, step: int):
        self.values, self.newest, self.first, self.last, self.step = values, newest, first, last, step
        self.value = values[:, first : last + 1]
        #: bool (n, k): a row's newest sample may still change, those before it do not
        self.final = np.arange(first, last + 1) < newest[:, None]
        self._known: dict[object, Any] = {}

    def once(self, key: object, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def means(self, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and number of the present samples in the ``seconds`` before each column: (n, k) each."""
        return self.once(("means", seconds), lambda: mean_present(self._before(seconds)))

    def ago(self, seconds: int) -> np.ndarray:
        """The values ``seconds`` before each column: (n, k)."""
        return self._before(seconds)[:, :, 0]

    def spread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, standard deviation and number of all present samples before each column: (n, k) each."""
        return self.once("spread", self._spread)

    def column_before(self) -> "WindowSlice":
        """The column before the first, as these."""
        before = self.first - 1
        return self.once("column", lambda: WindowSlice(self.values, self.newest, before, before, self.step))

    def _before(self, seconds: int) -> np.ndarray:
        """The slots of the ``seconds`` before each column: (n, k, slots), NaN before the window."""
        width = max(seconds // self.step, 1)
        start = self.first - width
        known = self.values[:, max(start, 0) : self.last]
        if start < 0:
            known = np.hstack([np.full((len(known), -start), np.nan), known])
        return sliding_window_view(known, width, axis=1)

    def _spread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """In two passes over what is before the first column; what is between the columns is added to that."""
        before, between = self.values[:, : self.first], self.values[:, self.first : self.last]
        pivot, count = mean_present(before)
        pivot = np.where(count > 0, pivot, 0)[:, None]
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


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every kind has.

    match: globs on metric ids; cooldown: least seconds between two alerts of a metric; channels: who is told; message:
    what a notice says, with names out of TOLD in braces.
    """

    KIND: ClassVar[str]
    MESSAGE: ClassVar[str]

    name: str = ""
    match: tuple[str, ...] = option(globs, ("*",))
    cooldown: int = option(duration(0, 30 * DAY), HOUR)
    channels: tuple[str, ...] = option(names, ("log",))
    severity: str = option(one_of(*SEVERITIES), "warning")
    message: str = option(text, "")

    def __post_init__(self) -> None:
        expected = f"a message with nothing in braces but {', '.join(TOLD)}, and formats such as {{value:.2f}}"
        require(is_template(self.message, TOLD), f"{expected}, of at most two digits each", "message")
        try:
            self.text(Alert(self.name, "kraken:btcusd:volume", 0, 2.0, 1.0, 1.0, 1, 60, 0.0))
        except (LookupError, ValueError) as error:
            raise Expected(f"a message whose formats fit what they format ({error})", "message") from None

    def matches(self, metric: str) -> bool:
        return matches(self.match, metric)

    def text(self, alert: Alert) -> str:
        """What a notice of ``alert`` says."""
        ratio = alert.value / alert.baseline if alert.baseline else np.inf
        known = asdict(alert) | {"ratio": ratio, "percent": 100 * (ratio - 1), "minutes": alert.window // 60}
        return (self.message or self.MESSAGE).format_map(known)

    def definition(self) -> dict[str, Any]:
        """The rule as it is now, to be kept with its alerts."""
        return {"kind": self.KIND} | {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, kw_only=True)
class SeriesRule(Rule):
    """A rule on the values of a metric.

    min_samples: present samples that its baseline needs; min_baseline: the baseline must be above it; hold (``for``):
    seconds that a value must have been above already.
    """

    min_samples: int = option(whole(0, 1_440), 30)
    min_baseline: float = option(ANY, 0.0)
    hold: int = option(duration(0, DAY // 2), 0, name="for")

    @property
    @abstractmethod
    def limit(self) -> float:
        """A level above it fires."""

    @property
    @abstractmethod
    def clear_limit(self) -> float:
        """A level at or below it ends a firing."""

    @property
    @abstractmethod
    def window(self) -> int:
        """The seconds that the baseline is over."""

    @property
    def told(self) -> float:
        """The limit as the rule has it."""
        return self.limit

    @property
    def measure(self) -> tuple[object, ...]:
        """What the level depends on: rules of equal measures have the same levels."""
        return (self.KIND,)

    @abstractmethod
    def level(self, at: WindowSlice) -> np.ndarray:
        """(n, k), NaN where there is none. That of a value which is not final may only rise."""

    @abstractmethod
    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """The baseline and its present samples: (n, k) each."""

    def levels(self, at: WindowSlice) -> np.ndarray:
        return at.once(self.measure, lambda: self.level(at))

    def peak(self, at: WindowSlice) -> np.ndarray:
        """The largest level of each row: (n,)."""
        return at.once(("peak", self.measure), lambda: np.fmax.reduce(self.levels(at), axis=1))

    def judge(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """(above, clear): bool (n, k) each."""
        level, (baseline, samples) = self.levels(at), self.grounds(at)
        enough = min(self.min_samples, max(self.window // at.step, 1))  # long slots: no more than there are
        judged = (samples >= enough) & ~(baseline <= self.min_baseline)
        return judged & (level > self.limit), judged & at.final & (level <= self.clear_limit)


@dataclass(frozen=True, kw_only=True)
class Ratio(SeriesRule):
    """Fires when a value exceeds ``factor`` x its baseline, the mean of the ``baseline`` seconds before it.

    clear_factor: a final slot at or below this x baseline ends the firing.
    """

    KIND = "ratio"
    MESSAGE = (
        "{metric}: {value:.6g} is {ratio:.2f} x its mean of {baseline:.6g} over the last {minutes} min "
        "({samples} samples), above {factor:g} x"
    )

    factor: float = option(number(0, 1e6, above=True), 3.0)
    baseline: int = option(duration(60, DAY // 2), HOUR)
    min_baseline: float = option(number(0, LARGE), 0.0)
    clear_factor: float = option(number(0, 1e6), 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clear_factor <= self.factor, f"at most factor, {self.factor:g}", "clear_factor")

    limit = property(lambda self: self.factor)
    clear_limit = property(lambda self: self.clear_factor)
    window = property(lambda self: self.baseline)
    measure = property(lambda self: (self.KIND, self.baseline))

    def level(self, at: WindowSlice) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return at.value / (at.means(self.baseline)[0] * ROUNDING)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.means(self.baseline)


@dataclass(frozen=True, kw_only=True)
class Change(SeriesRule):
    """Fires when a value differs by more than ``percent`` from the one ``over`` seconds before it.

    direction: up, down or both; clear_percent: a final slot that differs by no more than this ends the firing.
    """

    KIND = "change"
    MESSAGE = "{metric}: {value:.6g} is {percent:+.2f} % against {baseline:.6g} {minutes} min ago, beyond {factor:g} %"

    percent: float = option(number(0, 1e6, above=True))
    over: int = option(duration(60, DAY // 2))
    direction: str = option(one_of("up", "down", "both"), "both")
    clear_percent: float | None = option(number(0, 1e6), None)
    min_samples: int = option(whole(0, 1_440), 0)
    min_baseline: float = option(number(0, LARGE), 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clear_limit <= self.percent, f"at most percent, {self.percent:g}", "clear_percent")

    limit = property(lambda self: self.percent)
    clear_limit = property(lambda self: self.percent / 2 if self.clear_percent is None else self.clear_percent)
    window = property(lambda self: self.over)
    measure = property(lambda self: (self.KIND, self.over, self.direction))

    def level(self, at: WindowSlice) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            percent = (at.value / at.ago(self.over) - 1) * (100 / ROUNDING)
            return _directed(percent, self.direction, at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.ago(self.over), at.means(self.over)[1]


@dataclass(frozen=True, kw_only=True)
class Threshold(SeriesRule):
    """Fires when a value is ``above``, or ``below``, a number. Its baseline, told only, is the mean of the hour before.

    clear: a final slot at it, or on its other side, ends the firing.
    """

    KIND = "threshold"
    MESSAGE = "{metric}: {value:.6g} is beyond {factor:.6g}; its mean over the last {minutes} min is {baseline:.6g}"

    above: float | None = option(ANY, None)
    below: float | None = option(ANY, None)
    clear: float | None = option(ANY, None)
    min_samples: int = option(whole(0, 1_440), 0)
    min_baseline: float = option(ANY, -LARGE)

    def __post_init__(self) -> None:
        super().__post_init__()
        require((self.above is None) != (self.below is None), "either above or below", "above")
        require(self.clear_limit <= self.limit, f"a number that is not beyond {self.told:g}", "clear")

    told = property(lambda self: self.below if self.above is None else self.above)
    limit = property(lambda self: self._signed(self.told))
    clear_limit = property(lambda self: self._signed(self.told if self.clear is None else self.clear))
    window = property(lambda self: HOUR)
    measure = property(lambda self: (self.KIND, self.above is None))

    def _signed(self, value: float) -> float:
        return -value if self.above is None else value

    def level(self, at: WindowSlice) -> np.ndarray:
        return _directed(at.value, "down" if self.above is None else "up", at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.means(HOUR)


@dataclass(frozen=True, kw_only=True)
class Zscore(SeriesRule):
    """Fires when a value is more than ``score`` standard deviations from the mean of the window before it.

    direction: up, down or both; clear_score: a final slot with no more ends the firing. A constant window has none.
    """

    KIND = "zscore"
    MESSAGE = "{metric}: {value:.6g} is beyond {factor:g} standard deviations from its 24 h mean of {baseline:.6g}"

    score: float = option(number(0, 1e6, above=True), 4.0)
    direction: str = option(one_of("up", "down", "both"), "up")
    clear_score: float | None = option(number(0, 1e6), None)
    min_baseline: float = option(ANY, -LARGE)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clear_limit <= self.score, f"at most score, {self.score:g}", "clear_score")

    limit = property(lambda self: self.score)
    clear_limit = property(lambda self: self.score / 2 if self.clear_score is None else self.clear_score)
    window = property(lambda self: DAY)
    measure = property(lambda self: (self.KIND, self.direction))

    def level(self, at: WindowSlice) -> np.ndarray:
        mean, deviation, _ = at.spread()
        constant = deviation <= 1e-12 * np.abs(mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _directed((at.value - mean) / np.where(constant, np.nan, deviation), self.direction, at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        mean, _, count = at.spread()
        return mean, count


@dataclass(frozen=True, kw_only=True)
class Stale(Rule):
    """Fires when a source has given no sample of the metrics that match for ``after`` seconds: once for the source.

    clear: its newest sample is no older than this again; by default ``after``.
    """

    KIND = "stale"
    MESSAGE = "{metric}: no sample for {value:.0f} s, more than {factor:.0f} s"

    after: int = option(duration(10, DAY))
    clear: int | None = option(duration(1, DAY), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clear is None or self.clear <= self.after, f"at most after, {self.after} s", "clear")

    def fires(self, age: float) -> bool:
        return age > self.after

    def clears(self, age: float) -> bool:
        return age <= (self.after if self.clear is None else self.clear)

    def alert(self, source: str, heard: float, step: int, now: float) -> Alert:
        """That ``source`` was last heard of at ``heard``, Unix seconds; it names the slot."""
        found = Alert(
            self.name, f"source:{source}", int(heard // step * step), now - heard, float("nan"), self.after, 0,
            self.after, now, self.KIND, self.severity,
        )  # fmt: skip
        return _worded(found, self)


KINDS: dict[str, type[Rule]] = {kind.KIND: kind for kind in (Ratio, Change, Threshold, Zscore, Stale)}
DEFAULT_RULES: tuple[Rule, ...] = (Ratio(name="above-3x-1h-mean"),)


@dataclass(frozen=True)
class Edge:
    """A rising edge: row and column of the window it is in, its value, and the baseline and its present samples."""

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
        return _worded(found, rule)


def fresh_steps(interval: float, step: int) -> int:
    """For how many steps a slot is fresh where samples come every ``interval`` seconds: no slot gets old unseen."""
    return max(FRESH_STEPS, math.ceil(interval / step) + 1)


def screen(
    values: np.ndarray, metrics: tuple[str, ...], rules: Sequence[SeriesRule], step: int, steps: int = FRESH_STEPS
) -> np.ndarray:
    """The rows, ascending, on which one of ``rules`` may fire now: few, cheaply found; ``rising_edges`` tells which do.

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

    ``values`` as in WindowSlice. A slot is a rising edge if it is above and the last slot before it that was not
    neither was clear, or there is none. A row's newest sample may be above, but is not final, so nothing is concluded
    from its being low.
    """
    return _edges(_fresh(values, step, steps), rule)


def newest_level(values: np.ndarray, rule: SeriesRule, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Level of the slot in progress, and whether it is above: (n,) each; ``values`` as in WindowSlice."""
    at = _fresh(values, step, 0)
    return rule.levels(at)[:, 0], _judged(at, rule)[0][:, 0]


def cleared(values: np.ndarray, rule: SeriesRule, since: np.ndarray, step: int) -> np.ndarray:
    """Whether a firing of ``rule`` in the column ``since`` (n,) of each row is over: bool (n,).

    It is if the last final slot from there on that was above or clear was clear; missing slots end nothing.
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
    """Of ``rows``, whether the last slot before ``at`` that was above or clear was above. Mostly one look does."""
    if at.first == 0:
        return np.zeros(len(rows), bool)
    above, clear = (each[rows, 0] for each in _judged(at.column_before(), rule))
    far = np.flatnonzero(~(above | clear))
    if len(far):
        values, newest = at.values[rows[far]], at.newest[rows[far]]
        above[far] = _last_judged(values, newest, rule, at.first - 1, at.step)[0] > 0
    return above


def _judged(at: WindowSlice, rule: SeriesRule) -> tuple[np.ndarray, np.ndarray]:
    """(above, clear) of a rule that asks for values to have been above for a while: bool (n, k) each."""
    above, clear = rule.judge(at)
    if held := rule.hold // at.step:
        before, _ = rule.judge(WindowSlice(at.values, at.newest, max(at.first - held, 0), at.last, at.step))
        pad = np.zeros((len(before), held + above.shape[1] - before.shape[1]), bool)  # before the window none was
        above = np.all(sliding_window_view(np.hstack([pad, before]), held + 1, axis=1), axis=2)
    return above, clear


def _last_judged(
    values: np.ndarray, newest: np.ndarray, rule: SeriesRule, before: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each row's last slot before the column ``before`` that was above or clear: 1 if above, -1 if clear, 0 if there
    is none, and its column. Each look is at twice as much as the one before."""
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


def _directed(difference: np.ndarray, direction: str, final: np.ndarray) -> np.ndarray:
    """The level of a difference up, down or both ways. What is not final may still rise: it is not down yet."""
    if direction == "up":
        return difference
    down = np.where(final, -difference, np.nan)
    return down if direction == "down" else np.fmax(difference, down)


def _running(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """``start`` (n,), and with the first, the first two ... of ``steps`` (n, k - 1) added: (n, k)."""
    return np.cumsum(np.hstack([start[:, None], steps]), axis=1)


@lru_cache(4_096)
def _mask(globs: tuple[str, ...], metrics: tuple[str, ...]) -> np.ndarray:
    if "*" in globs:
        return np.ones(len(metrics), bool)
    return np.array([matches(globs, metric) for metric in metrics], bool)


def _worded(alert: Alert, rule: Rule) -> Alert:
    return Alert(**asdict(alert) | {"text": rule.text(alert)})
