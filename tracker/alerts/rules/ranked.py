"""The kind ``rank``: a metric enters the top of its field's ranking."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tracker.alerts.rules.base import TOLD, Rule, worded
from tracker.alerts.tables import Expected
from tracker.models import Alert
from tracker.series.ring import WINDOW

#: What a ranking is by, in words.
BY = {"stddev": "standard deviation", "cv": "coefficient of variation"}


class Ranked(Rule):
    """Fires when a metric enters the ``top`` positions of the ranking of its field, and is over when it has left.

    leave: a metric behind this position has left; by default a fifth more than ``top``, at least 2 more. by: what the
    ranking is by, the standard deviation over 24 h or that deviation's share of the mean.
    """

    KIND = "rank"
    MESSAGE = "{metric}: number {value:.0f} of {samples} by {by} over 24 h, in the top {factor:.0f}"
    TOLD = (*TOLD, "by")

    top: Annotated[int, Field(ge=1, le=1_000)]
    leave: Annotated[int, Field(ge=1, le=2_000)] | None = None
    by: Literal["stddev", "cv"] = "stddev"

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.last < self.top:
            raise Expected(f"at least top, {self.top}", "leave")
        return self

    @property
    def limit(self) -> float:
        """In a backtest, the level of a metric is its position, negative: a larger one is nearer to the top."""
        return -(self.top + 0.5)

    @property
    def last(self) -> int:
        """The last position of a metric that has not left."""
        return self.top + max(2, self.top // 5) if self.leave is None else self.leave

    def entering(self, leaders: Sequence[str], members: Collection[str]) -> dict[str, int]:
        """Metric -> position, of those that enter. ``leaders``: metrics by rank; ``members``: the top until now."""
        first = enumerate(leaders[: self.top], start=1)
        return {metric: at for at, metric in first if metric not in members and self.matches(metric)}

    def leaving(self, leaders: Sequence[str], members: Collection[str]) -> set[str]:
        """Those of ``members`` that have left. ``leaders``: at least the first ``last`` metrics by rank."""
        return set(members).difference(leaders[: self.last])

    def alert(self, metric: str, position: int, of: int, slot: int, now: float) -> Alert:
        """The alert of ``metric``, which is at ``position`` of ``of`` in the evaluation at ``now``, in ``slot``."""
        found = Alert(
            self.name, metric, slot, position, float("nan"), self.top, of, WINDOW, now, self.KIND, self.severity,
            details={"position": position, "of": of, "by": self.by},
        )  # fmt: skip
        return worded(found, self)

    def known(self, alert: Alert) -> dict[str, Any]:
        return {**super().known(alert), "by": BY[self.by]}
