"""The kinds of rules: each has a level for a slot, and a limit for it."""

from dataclasses import dataclass

import numpy as np

from tracker.alerts.options import (
    duration,
    number,
    one_of,
    option,
    require,
    whole,
)
from tracker.alerts.rules.base import ANY, LARGE, ROUNDING, Rule, SeriesRule, WindowSlice, worded
from tracker.models import Alert
from tracker.series.ring import DAY, HOUR


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
        return worded(found, self)


KINDS: dict[str, type[Rule]] = {kind.KIND: kind for kind in (Ratio, Change, Threshold, Zscore, Stale)}
DEFAULT_RULES: tuple[Rule, ...] = (Ratio(name="above-3x-1h-mean"),)


def _directed(difference: np.ndarray, direction: str, final: np.ndarray) -> np.ndarray:
    """The level of a difference up, down or both ways. What is not final may still rise: it is not down yet."""
    if direction == "up":
        return difference
    down = np.where(final, -difference, np.nan)
    return down if direction == "down" else np.fmax(difference, down)
