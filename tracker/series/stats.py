"""Statistics of windows. Pure. Computed anew each time, because running sums keep an error after a spike."""

from dataclasses import dataclass

import numpy as np

from tracker.series.ring import HOUR


@dataclass(frozen=True)
class Stats:
    """Of n series: float64 (n,) each, NaN where there is no sample. See Summary; ``at`` is the column of ``last``."""

    at: np.ndarray
    last: np.ndarray
    mean_1h: np.ndarray
    mean: np.ndarray
    stddev: np.ndarray
    change_1h: np.ndarray
    change_24h: np.ndarray
    cv: np.ndarray


def describe(values: np.ndarray, step: int, final: np.ndarray | None = None) -> Stats:
    """Statistics of ``values`` (n, rows), oldest slot first, NaN for missing, the last column the slot in progress.

    mean, mean_1h, stddev and cv are over final slots: the first ``final`` (n,) of each row, all closed ones if None.
    stddev is the population's (ddof 0, as Prometheus' ``stddev_over_time``). It is computed from differences to the
    last sample, so a constant series has exactly 0. A sample is at most sqrt(n - 1) stddevs from the mean (Samuelson's
    inequality), so at most three decimal digits cancel. A change or cv that would be a division by 0 is NaN.
    """
    at, last = last_present(values)
    closed = values[:, :-1]
    if final is not None and (final < closed.shape[1]).any():
        closed = np.where(np.arange(closed.shape[1]) < final[:, None], closed, np.nan)
    _, pivot = last_present(closed)  # not that of the slot in progress, which may be of another size
    differences = closed - pivot[:, None]
    count = np.full(len(values), differences.shape[1])
    sums = differences.sum(axis=1)
    gappy = np.flatnonzero(np.isnan(sums))
    if len(gappy):
        holes = np.isnan(differences[gappy])
        count[gappy] -= holes.sum(axis=1)
        differences[gappy] = np.where(holes, 0.0, differences[gappy])
        sums[gappy] = differences[gappy].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = sums / count
        variance = np.vecdot(differences, differences) / count - offset**2
        stddev = np.sqrt(np.maximum(variance, 0))
        mean = pivot + offset
        cv = stddev / mean
    cv[~np.isfinite(cv)] = np.nan
    hour = -1 - HOUR // step
    mean_1h, _ = mean_present(closed[:, hour + 1 :])
    return Stats(at, last, mean_1h, mean, stddev, _change(at, last, values, hour), _change(at, last, values, 0), cv)


def settle(values: np.ndarray, final: np.ndarray) -> None:
    """Takes slots that are not final out of ``values`` (n, rows), but for each row's newest sample.

    The first ``final`` (n,) slots are final. Afterwards only the newest sample of a row may still change, which is what
    rules take for granted.
    """
    newest, _ = last_present(values)
    for row in np.flatnonzero(final < newest):
        values[row, final[row] : newest[row]] = np.nan


def _change(at: np.ndarray, last: np.ndarray, values: np.ndarray, column: int) -> np.ndarray:
    """Of ``last`` against ``values`` at ``column``, as a fraction; NaN unless it is the older of two samples."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = last / values[:, column] - 1
    change[~np.isfinite(change) | (at <= column % values.shape[1])] = np.nan
    return np.asarray(change)


def mean_present(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and number of the present samples along the last axis of ``values``: float64, NaN for none, and int."""
    count = np.full(values.shape[:-1], values.shape[-1])
    sums = values.sum(axis=-1)
    gappy = np.isnan(sums)
    if gappy.any():
        count[gappy] -= np.isnan(values[gappy]).sum(axis=-1)
        sums[gappy] = np.nansum(values[gappy], axis=-1)
    with np.errstate(invalid="ignore"):
        return sums / count, count


def last_present(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and value of each row's last present sample; (-1, NaN) where a row has none."""
    at, last = np.full(len(values), values.shape[1] - 1), values[:, -1].copy()
    late = np.flatnonzero(np.isnan(last))  # mostly none: the slot in progress is stored
    if len(late):
        present = ~np.isnan(values[late])
        newest = values.shape[1] - 1 - np.argmax(present[:, ::-1], axis=1)
        at[late] = np.where(present.any(axis=1), newest, -1)
        last[late] = values[late, at[late]]
    return at, last
