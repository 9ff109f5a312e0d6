"""The base classes of rules, and the part of a window that a rule looks at."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field, model_validator

from tracker.alerts.tables import Expected, Globs, Names, Table, Text, duration, is_template
from tracker.models import Alert, matches
from tracker.series.ring import DAY, HOUR
from tracker.series.stats import mean_present

#: Means and quotients of decimal fractions are off by a few last digits: exactly 3 x a mean is not above 3 x it.
ROUNDING = 1 + 1e-12
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[str, ...] = get_args(Severity)
LARGE = 1e18
T = TypeVar("T")
#: Types of options. A limit is positive; a clear limit may be 0.
Limit = Annotated[float, Field(gt=0, le=1e6)]
ClearLimit = Annotated[float, Field(ge=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=LARGE)]
AnyNumber = Annotated[float, Field(ge=-LARGE, le=LARGE)]
Samples = Annotated[int, Field(ge=0, le=1_440)]
#: The names in a message: fields of an alert that are known when it is found, and values computed from them.
TOLD = (
    "rule", "metric", "slot", "value", "baseline", "factor", "samples", "window", "at", "kind", "severity", "ratio",
    "percent", "minutes",
)  # fmt: skip


class WindowSlice:
    """The columns ``first`` to ``last`` of windows, with the statistics that rules need, each computed once.

    values: (n, rows), oldest slot first, NaN for missing, the last column the slot in progress; newest: (n,), the
    column of each row's newest sample.
    """

    def __init__(self, values: np.ndarray, newest: np.ndarray, first: int, last: int, step: int):
        self.values, self.newest, self.first, self.last, self.step = values, newest, first, last, step
        self.value = values[:, first : last + 1]
        #: bool (n, k): a row's newest sample may still change, the ones before it do not
        self.final = np.arange(first, last + 1) < newest[:, None]
        self._known: dict[object, Any] = {}

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """The result of ``compute``, which is called for the first request of ``key`` alone."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

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
        """The column before the first, as a slice of its own."""
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
        """Two passes over the slots before the first column. The slots between the columns are added to that."""
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


class Rule(Table, ABC):
    """What every kind has. The fields are options of the rules file; pydantic checks them.

    match: globs on metric ids; cooldown: least seconds between two alerts of a metric; channels: their names; message:
    the text of a notice, with names of TOLD in braces.
    """

    GIVEN = frozenset({"name"})

    KIND: ClassVar[str]
    MESSAGE: ClassVar[str]

    name: str = ""
    match: Globs = ("*",)
    cooldown: Annotated[int, duration(0, 30 * DAY)] = HOUR
    channels: Names = ("log",)
    severity: Severity = "warning"
    message: Text = ""

    @model_validator(mode="after")
    def _check_message(self) -> Self:
        if not is_template(self.message, TOLD):
            expected = f"a message with nothing in braces but {', '.join(TOLD)}, and formats such as {{value:.2f}}"
            raise Expected(f"{expected}, of at most two digits each", "message")
        try:
            self.text(Alert(self.name, "kraken:btcusd:volume", 0, 2.0, 1.0, 1.0, 1, 60, 0.0))
        except (LookupError, ValueError) as error:
            raise Expected(f"a message whose formats fit what they format ({error})", "message") from None
        return self

    def matches(self, metric: str) -> bool:
        """Whether the rule is for the metric of this id."""
        return matches(self.match, metric)

    def text(self, alert: Alert) -> str:
        """The text of a notice of ``alert``."""
        ratio = alert.value / alert.baseline if alert.baseline else np.inf
        known = vars(alert) | {"ratio": ratio, "percent": 100 * (ratio - 1), "minutes": alert.window // 60}
        return (self.message or self.MESSAGE).format_map(known)

    def definition(self) -> dict[str, Any]:
        """The rule as it is now; alerts keep it."""
        return {"kind": self.KIND} | self.model_dump()


class SeriesRule(Rule):
    """A rule on the values of a metric.

    min_samples: the least number of present samples in the baseline; min_baseline: the baseline must be above it; hold
    (``for`` in the file): the value must have been above the limit for so many seconds already.
    """

    min_samples: Samples = 30
    min_baseline: AnyNumber = 0.0
    hold: Annotated[int, duration(0, DAY // 2), Field(validation_alias="for")] = 0

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

    def levels(self, at: WindowSlice) -> np.ndarray:
        """As ``level``, computed once for all rules with the same measure."""
        return at.once(self.measure, lambda: self.level(at))

    def peak(self, at: WindowSlice) -> np.ndarray:
        """The largest level of each row: (n,)."""
        return at.once(("peak", self.measure), lambda: np.asarray(np.fmax.reduce(self.levels(at), axis=1)))

    def judge(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """(above, clear): bool (n, k) each."""
        level, (baseline, samples) = self.levels(at), self.grounds(at)
        enough = min(self.min_samples, max(self.window // at.step, 1))  # a window of long slots has fewer
        judged = (samples >= enough) & ~(baseline <= self.min_baseline)
        return judged & (level > self.limit), judged & at.final & (level <= self.clear_limit)


def _running(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """``start`` (n,), and with the first, the first two ... of ``steps`` (n, k - 1) added: (n, k)."""
    return np.cumsum(np.hstack([start[:, None], steps]), axis=1)


def worded(alert: Alert, rule: Rule) -> Alert:
    """``alert`` with the text of ``rule``."""
    return replace(alert, text=rule.text(alert))
