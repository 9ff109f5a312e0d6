"""The base classes of rules."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from tracker.alerts.rules.amounts import Amount
from tracker.alerts.rules.series import WindowSlice
from tracker.alerts.tables import Expected, Globs, Names, Table, Text, duration, is_template
from tracker.models import FIELDS, Alert, matches
from tracker.series.ring import DAY, HOUR

#: Means and quotients of decimal fractions are off by a few last digits: exactly 3 x a mean is not above 3 x it.
ROUNDING = 1 + 1e-12
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[str, ...] = get_args(Severity)
LARGE = 1e18
#: Types of options. A limit is positive; a clear limit may be 0.
Limit = Annotated[float, Field(gt=0, le=1e6)]
ClearLimit = Annotated[float, Field(ge=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=LARGE)]
AnyNumber = Annotated[float, Field(ge=-LARGE, le=LARGE)]
Direction = Literal["up", "down", "both"]
Samples = Annotated[int, Field(ge=0, le=1_440)]
#: The names in a message: fields of an alert that are known when it is found, and values computed from them.
TOLD = (
    "rule", "metric", "slot", "value", "baseline", "factor", "samples", "window", "at", "kind", "severity", "ratio",
    "percent", "minutes",
)  # fmt: skip


class Rule(Table, ABC):
    """What every kind has. The fields are options of the rules file; pydantic checks them.

    match: globs on metric ids; cooldown: least seconds between two alerts of a metric; channels: their names; message:
    the text of a notice, with names of TOLD in braces. remind: seconds between reminders while nobody acknowledges;
    then: channels that are told if nobody does within ``then_after`` seconds.
    """

    GIVEN = frozenset({"name"})

    KIND: ClassVar[str]
    MESSAGE: ClassVar[str]
    #: The names that a message of this kind may use.
    TOLD: ClassVar[tuple[str, ...]] = TOLD
    #: Why a metric may have no level in any slot.
    LEVELLESS: ClassVar[str] = "too few samples"
    #: What a backtest of this kind cannot show, if anything.
    UNKNOWN_PAST: ClassVar[str] = ""

    name: str = ""
    match: Globs = ("*",)
    cooldown: Annotated[int, duration(0, 30 * DAY)] = HOUR
    channels: Names = ("log",)
    severity: Severity = "warning"
    message: Text = ""
    remind: Annotated[int, duration(60, 7 * DAY)] | None = None
    then: Names = ()
    then_after: Annotated[int, duration(60, DAY)] = 600

    @model_validator(mode="after")
    def _check_message(self) -> Self:
        if not is_template(self.message, self.TOLD):
            expected = f"a message with nothing in braces but {', '.join(self.TOLD)}, and formats such as {{value:.2f}}"
            raise Expected(f"{expected}, of at most two digits each", "message")
        try:
            self.text(Alert(self.name, "kraken:btcusd:volume", 0, 2.0, 1.0, 1.0, 1, 60, 0.0))
        except (LookupError, ValueError) as error:
            raise Expected(f"a message whose formats fit what they format ({error})", "message") from None
        return self

    @model_validator(mode="after")
    def _check_then(self) -> Self:
        if both := [name for name in self.then if name in self.channels]:
            raise Expected(f"other channels than those in channels, not {both[0]}", "then")
        return self

    def matches(self, metric: str) -> bool:
        """Whether the rule is for the metric of this id."""
        return matches(self.match, metric)

    def text(self, alert: Alert) -> str:
        """The text of a notice of ``alert``."""
        return (self.message or self.MESSAGE).format_map(self.known(alert))

    def known(self, alert: Alert) -> Mapping[str, Any]:
        """What a message may name of ``alert``: the names of TOLD."""
        ratio = alert.value / alert.baseline if alert.baseline else np.inf
        amounts = {"value": Amount(alert.value), "baseline": Amount(alert.baseline), "factor": Amount(alert.factor)}
        return vars(alert) | amounts | {"ratio": ratio, "percent": 100 * (ratio - 1), "minutes": alert.window // 60}

    def definition(self) -> dict[str, Any]:
        """The rule as it is now; alerts keep it."""
        return {"kind": self.KIND} | self.model_dump()

    def table(self) -> dict[str, Any]:
        """The rule as a table of the rules file: its kind, and the options that are not as by default."""
        fields = [(name, field) for name, field in type(self).model_fields.items() if name not in self.GIVEN]
        return {"kind": self.KIND} | {
            str(field.validation_alias or name): value
            for name, field in fields
            if (value := getattr(self, name)) != field.default
        }


class LevelRule(Rule):
    """A rule that has a level in each slot of a metric.

    hold (``for`` in the file): the level must have been above the limit for so many seconds already.
    """

    #: Whether the median of the pair's exchanges must be beside the metrics that it looks at.
    NEEDS_PEERS: ClassVar[bool] = False

    hold: Annotated[int, duration(0, DAY // 2), Field(validation_alias="for")] = 0

    @model_validator(mode="after")
    def _check_match(self) -> Self:
        others = tuple(f":{field}" for field in FIELDS if self.field and field != self.field)
        if any(glob.endswith(others) for glob in self.match):
            raise Expected(f"globs that match a {self.field}: this rule is for metrics of that field alone", "match")
        return self

    @property
    def field(self) -> str:
        """The field whose metrics it is for; its market's other fields are beside it. Empty: each metric alone."""
        return ""

    @property
    @abstractmethod
    def limit(self) -> float:
        """A level above this fires."""

    @property
    @abstractmethod
    def clear_limit(self) -> float:
        """A level at or below this ends a firing."""

    @property
    @abstractmethod
    def window(self) -> int:
        """The length of the baseline in seconds."""

    @property
    def told(self) -> float:
        """The limit as the file gives it; an alert keeps it as its ``factor``."""
        return self.limit

    @property
    def measure(self) -> tuple[object, ...]:
        """Everything that the level depends on. Rules with equal measures have the same levels."""
        return (self.KIND,)

    @abstractmethod
    def level(self, at: WindowSlice) -> np.ndarray:
        """The level of each slot: (n, k), NaN for none. The level of a value that is not final may only rise."""

    @abstractmethod
    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """The baseline and its present samples: (n, k) each."""

    def matches(self, metric: str) -> bool:
        return super().matches(metric) and metric.endswith(f":{self.field}" if self.field else "")

    def levels(self, at: WindowSlice) -> np.ndarray:
        """As ``level``, computed once for all rules with the same measure."""
        return at.once(self.measure, lambda: self.level(at))

    def peak(self, at: WindowSlice) -> np.ndarray:
        """The largest level of each row: (n,)."""
        return at.once(("peak", self.measure), lambda: np.asarray(np.fmax.reduce(self.levels(at), axis=1)))

    def judge(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """(above, clear): bool (n, k) each."""
        level = self.levels(at)
        return level > self.limit, at.final & (level <= self.clear_limit)

    def values(self, at: WindowSlice) -> np.ndarray:
        """The values that alerts tell: (n, k)."""
        return at.value

    def details(self, at: WindowSlice, row: int, k: int) -> dict[str, Any] | None:
        """What else an alert tells of the slot ``k`` of ``row``. The API's schema of an alert describes it."""
        return None


class SeriesRule(LevelRule):
    """A rule that compares the values of a metric with a baseline.

    min_samples: the least number of present samples in the baseline; min_baseline: the baseline must be above it.
    """

    min_samples: Samples = 30
    min_baseline: AnyNumber = 0.0

    def judge(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """As for each rule with a level. Without a good baseline a slot is neither above nor clear."""
        above, clear = super().judge(at)
        baseline, samples = self.grounds(at)
        enough = min(self.min_samples, max(self.window // at.step, 1))  # a window of long slots has fewer
        judged = (samples >= enough) & ~(baseline <= self.min_baseline)
        return judged & above, judged & clear


class PercentRule(LevelRule):
    """A rule whose level is a difference in percent.

    direction: up, down or both; clear_percent: a final slot that differs by no more than this ends the firing.
    """

    percent: Limit
    direction: Direction = "both"
    clear_percent: ClearLimit | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.clear_limit > self.percent:
            raise Expected(f"at most percent, {self.percent:g}", "clear_percent")
        return self

    @property
    def limit(self) -> float:
        return self.percent

    @property
    def clear_limit(self) -> float:
        return self.percent / 2 if self.clear_percent is None else self.clear_percent


def worded(alert: Alert, rule: Rule) -> Alert:
    """``alert`` with the text of ``rule``."""
    return replace(alert, text=rule.text(alert))


def directed(difference: np.ndarray, direction: str, final: np.ndarray) -> np.ndarray:
    """The level of a difference up, down or both ways. A value that is not final may still rise: it is not down yet."""
    if direction == "up":
        return difference
    down = np.where(final, -difference, np.nan)
    return down if direction == "down" else np.fmax(difference, down)
