"""The kinds of rules: one class for each. Its fields are the kind's options."""

from typing import Annotated, Self, cast

import numpy as np
from pydantic import model_validator

from tracker.alerts.rules.base import (
    LARGE,
    ROUNDING,
    AnyNumber,
    ClearLimit,
    Direction,
    Limit,
    NotNegative,
    PercentRule,
    Rule,
    Samples,
    SeriesRule,
    directed,
    worded,
)
from tracker.alerts.rules.series import WindowSlice
from tracker.alerts.tables import Expected, duration
from tracker.models import Alert
from tracker.series.ring import DAY, HOUR, WINDOW


class Ratio(SeriesRule):
    """Fires when a value exceeds ``factor`` x its baseline, the mean of the ``baseline`` seconds before it.

    clear_factor: a final slot at or below this x baseline ends the firing.
    """

    KIND = "ratio"
    MESSAGE = (
        "{metric}: {value:.6g} is {ratio:.2f} x its mean of {baseline:.6g} over the last {minutes} min "
        "({samples} samples), above {factor:g} x"
    )

    factor: Limit = 3.0
    baseline: Annotated[int, duration(60, DAY // 2)] = HOUR
    min_baseline: NotNegative = 0.0
    clear_factor: ClearLimit = 2.0

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.clear_factor > self.factor:
            raise Expected(f"at most factor, {self.factor:g}", "clear_factor")
        return self

    @property
    def limit(self) -> float:
        return self.factor

    @property
    def clear_limit(self) -> float:
        return self.clear_factor

    @property
    def window(self) -> int:
        return self.baseline

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.baseline)

    def level(self, at: WindowSlice) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return at.value / (at.means(self.baseline)[0] * ROUNDING)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.means(self.baseline)


class Change(PercentRule, SeriesRule):
    """Fires when a value differs by more than ``percent`` from the one ``over`` seconds before it."""

    KIND = "change"
    MESSAGE = "{metric}: {value:.6g} is {percent:+.2f} % against {baseline:.6g} {minutes} min ago, beyond {factor:g} %"

    over: Annotated[int, duration(60, DAY // 2)]
    min_samples: Samples = 0
    min_baseline: NotNegative = 0.0

    @property
    def window(self) -> int:
        return self.over

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.over, self.direction)

    def level(self, at: WindowSlice) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            percent = (at.value / at.ago(self.over) - 1) * (100 / ROUNDING)
            return directed(percent, self.direction, at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.ago(self.over), at.means(self.over)[1]


class Threshold(SeriesRule):
    """Fires when a value is ``above``, or ``below``, a number. Its baseline, for the message, is the hour's mean.

    clear: a final slot at this number or on its other side ends the firing.
    """

    KIND = "threshold"
    MESSAGE = "{metric}: {value:.6g} is beyond {factor:.6g}; its mean over the last {minutes} min is {baseline:.6g}"

    above: AnyNumber | None = None
    below: AnyNumber | None = None
    clear: AnyNumber | None = None
    min_samples: Samples = 0
    min_baseline: AnyNumber = -LARGE

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise Expected("either above or below", "above")
        if self.clear_limit > self.limit:
            raise Expected(f"a number that is not beyond {self.told:g}", "clear")
        return self

    @property
    def told(self) -> float:
        return cast(float, self.below if self.above is None else self.above)

    @property
    def limit(self) -> float:
        return self._signed(self.told)

    @property
    def clear_limit(self) -> float:
        return self._signed(self.told if self.clear is None else self.clear)

    @property
    def window(self) -> int:
        return HOUR

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.above is None)

    def _signed(self, value: float) -> float:
        return -value if self.above is None else value

    def level(self, at: WindowSlice) -> np.ndarray:
        return directed(at.value, "down" if self.above is None else "up", at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.means(HOUR)


class Zscore(SeriesRule):
    """Fires when a value is more than ``score`` standard deviations from the mean of the window before it.

    direction: up, down or both; clear_score: a final slot at or below this ends the firing. A constant window has no
    score.
    """

    KIND = "zscore"
    MESSAGE = "{metric}: {value:.6g} is beyond {factor:g} standard deviations from its 24 h mean of {baseline:.6g}"

    score: Limit = 4.0
    direction: Direction = "up"
    clear_score: ClearLimit | None = None
    min_baseline: AnyNumber = -LARGE

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.clear_limit > self.score:
            raise Expected(f"at most score, {self.score:g}", "clear_score")
        return self

    @property
    def limit(self) -> float:
        return self.score

    @property
    def clear_limit(self) -> float:
        return self.score / 2 if self.clear_score is None else self.clear_score

    @property
    def window(self) -> int:
        return WINDOW

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.direction)

    def level(self, at: WindowSlice) -> np.ndarray:
        mean, deviation, _ = at.spread()
        constant = deviation <= 1e-12 * np.abs(mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            return directed((at.value - mean) / np.where(constant, np.nan, deviation), self.direction, at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        mean, _, count = at.spread()
        return mean, count


class Stale(Rule):
    """Fires once for a source that gave no sample of any matching metric for ``after`` seconds.

    clear: a newest sample of at most this age ends the firing; by default ``after``.
    """

    KIND = "stale"
    MESSAGE = "{metric}: no sample for {value:.0f} s, more than {factor:.0f} s"

    after: Annotated[int, duration(10, DAY)]
    clear: Annotated[int, duration(1, DAY)] | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.clear is not None and self.clear > self.after:
            raise Expected(f"at most after, {self.after} s", "clear")
        return self

    def fires(self, age: float) -> bool:
        """Whether the newest sample is too old; ``age`` in seconds."""
        return age > self.after

    def clears(self, age: float) -> bool:
        """Whether the newest sample ends a firing; ``age`` in seconds."""
        return age <= (self.after if self.clear is None else self.clear)

    def alert(self, source: str, heard: float, step: int, now: float) -> Alert:
        """The alert for ``source``, whose last sample came at ``heard`` (Unix seconds), which gives the slot."""
        found = Alert(
            self.name, f"source:{source}", int(heard // step * step), now - heard, float("nan"), self.after, 0,
            self.after, now, self.KIND, self.severity,
        )  # fmt: skip
        return worded(found, self)


DEFAULT_RULES: tuple[Rule, ...] = (Ratio(name="above-3x-1h-mean"),)
