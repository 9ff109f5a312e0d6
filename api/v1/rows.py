"""The row of a metric: all answers show the same one."""

from operator import attrgetter
from typing import Any

import numpy as np

from tracker.models import Market, Metric, Rank, Standing, Summary
from tracker.series import stats
from tracker.series.ring import Ring

#: Names of numbers in a row -> names in Summary.
NUMBERS = {
    "last": "last",
    "last_slot": "slot",
    "change_1h": "change_1h",
    "change_24h": "change_24h",
    "mean_1h": "mean_1h",
    "mean_24h": "mean",
    "stddev_24h": "stddev",
    "cv_24h": "cv",
}
VALUES = attrgetter(*NUMBERS.values())
#: Values of a spark line: one for each half hour of the window.
SPARKS = 48


def row(
    metric: Metric, market: Market | None, summary: Summary | None, rank: Rank | None, cv_rank: Rank | None
) -> dict[str, Any]:
    """A metric's row. Without samples it has no ranks, even if the last evaluation had some."""
    exchange, _, pair = metric.market.partition(":")
    if not summary or summary.stddev != summary.stddev:
        rank = cv_rank = None
    return {
        "id": metric.id,
        "exchange": exchange,
        "pair": pair,
        "base": market.base if market else None,
        "quote": market.quote if market else None,
        "field": metric.field,
        "unit": metric.unit(market) if market else None,
        **(dict(zip(NUMBERS, VALUES(summary), strict=True)) if summary else dict.fromkeys(NUMBERS)),
        "rank": _rank(rank),
        "cv_rank": _rank(cv_rank),
    }


def of_values(
    metric: Metric, market: Market | None, values: np.ndarray, final: int, standing: Standing | None, ring: Ring,
    now: float,
) -> dict[str, Any]:  # fmt: skip
    """The row of a metric whose window is ``values`` (rows,). The first ``final`` of them are final.

    Its numbers describe these values. Its ranks are those of the last evaluation. If that was in the slot in progress
    and saw the newest sample, its numbers are used, because they are the same.
    """
    summary = standing.summary if standing else None
    if not summary or ring.slot(summary.at) != ring.slot(now) or not _is_newest(summary, values, ring, now):
        summary = _summary(values, final, ring, now)
    return row(metric, market, summary, *(standing[1:] if standing else (None, None)))


def sparks(values: np.ndarray, final: np.ndarray) -> list[list[float]]:
    """The spark lines (n, SPARKS) of windows ``values`` (n, rows). The first ``final`` (n,) slots of each are final.

    Each value is the mean of the final slots of a half hour, NaN if there are none.
    """
    closed = np.where(np.arange(values.shape[1] - 1) < final[:, None], values[:, :-1], np.nan)
    if closed.shape[1] < SPARKS:  # a slot is an hour long
        closed = np.repeat(closed, SPARKS // closed.shape[1], axis=1)
    mean, _ = stats.mean_present(closed.reshape(-1, closed.shape[1] // SPARKS))
    return mean.reshape(-1, SPARKS).tolist()


def _is_newest(summary: Summary, values: np.ndarray, ring: Ring, now: float) -> bool:
    """Whether the newest sample of ``values`` is the one in ``summary``. If not, it is not evaluated yet."""
    at = (summary.slot - ring.first(now)) // ring.step
    return values.item(at) == summary.last and (at + 1 == len(values) or bool(np.isnan(values[at + 1 :]).all()))


def _summary(values: np.ndarray, final: int, ring: Ring, now: float) -> Summary | None:
    of = stats.describe(values[None], ring.step, np.array([final]))
    if of.at[0] < 0:
        return None
    numbers = {name: float(getattr(of, name)[0]) for name in NUMBERS.values() if name != "slot"}
    return Summary(slot=ring.first(now) + int(of.at[0]) * ring.step, at=now, **numbers)


def _rank(rank: Rank | None) -> dict[str, Any] | None:
    return {"position": rank.position, "of": rank.of, "text": rank.text} if rank else None
