"""The kind ``silent``: a market without trades, or without answers, while its source is well."""

from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from tracker.alerts.rules.base import TOLD, SeriesRule, worded
from tracker.alerts.rules.series import WindowSlice
from tracker.alerts.tables import duration
from tracker.models import Alert, matches
from tracker.series.ring import DAY

NO_TRADES, NO_ANSWER = "no trades", "no answer"


class Silent(SeriesRule):
    """Fires for a market without a trade, or without an answer of its source, for more than ``after`` seconds.

    No trades: its source answered, and the market's final slots have no volume. The alert is about the market's volume.
    No answer: its source answered for other markets, and not for this one. The alert is about the market's price.

    min_baseline: the share of slots with a trade, in the 24 h before, must be above it.
    """

    KIND = "silent"
    MESSAGE = "{metric}: {cause} for {value:.0f} s, more than {factor:.0f} s"
    TOLD = (*TOLD, "cause")
    LEVELLESS: ClassVar[str] = "no volumes are known"
    UNKNOWN_PAST: ClassVar[str] = f"it shows {NO_TRADES} alone: when a source gave {NO_ANSWER} is not stored"

    after: Annotated[int, duration(60, DAY // 2)]
    min_baseline: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _check_match(self) -> Self:
        return self  # globs for volumes and for prices both have a meaning

    @property
    def field(self) -> str:
        return "volume"

    @property
    def limit(self) -> float:
        return self.after

    @property
    def clear_limit(self) -> float:
        return self.after

    @property
    def window(self) -> int:
        return DAY

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.after)

    def level(self, at: WindowSlice) -> np.ndarray:
        """Seconds without a trade, as far as the limit needs them. A missing slot since the last trade: not known."""
        enough = self.after // at.step + 1
        seen = at.lately(enough)
        columns = np.arange(seen.shape[1])
        traded, missing = (
            np.maximum.accumulate(np.where(found, columns, -1), axis=1)[:, enough - 1 :]
            for found in (seen > 0, np.isnan(seen))
        )
        quiet = np.minimum(columns[enough - 1 :] - np.maximum(traded, missing), enough)
        known = at.final & ((traded > missing) | (quiet == enough))
        return np.where(known, quiet * at.step, np.nan)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.shares()

    def values(self, at: WindowSlice) -> np.ndarray:
        return self.levels(at)

    def details(self, at: WindowSlice, row: int, k: int) -> dict[str, Any]:
        return {"cause": NO_TRADES}

    def known(self, alert: Alert) -> dict[str, Any]:
        return {**super().known(alert), "cause": (alert.details or {}).get("cause", NO_TRADES)}

    def wants_answers(self, market: str) -> bool:
        """Whether it also looks for missing answers for ``market``."""
        return matches(self.match, f"{market}:price")

    def unanswered(self, behind: float) -> bool:
        """Whether a market is without answers: its last one is ``behind`` seconds older than its source's newest."""
        return behind > self.after

    def alert(self, market: str, answered: float, step: int, now: float) -> Alert:
        """The alert for ``market``, whose last answer came at ``answered`` (Unix seconds), which gives the slot."""
        found = Alert(
            self.name, f"{market}:price", int(answered // step * step), now - answered, float("nan"), self.after, 0,
            self.after, now, self.KIND, self.severity, details={"cause": NO_ANSWER},
        )  # fmt: skip
        return worded(found, self)
