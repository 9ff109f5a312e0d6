"""Statistics of windows. Pure. Computed from all samples each time: running sums keep an error after a spike."""

from dataclasses import dataclass

import numpy as np

from tracker.series.ring import HOUR


@dataclass(frozen=True)
class Stats:
    """Statistics of n series: float64 (n,), NaN without a sample. See Summary; ``at`` is the column of ``last``."""

    at: np.ndarray
    last: np.ndarray
    mean_1h: np.ndarray
    mean: np.ndarray
    stddev: np.ndarray
    change_1h: np.ndarray
    change_24h: np.ndarray
    cv: np.ndarray


def describe(values: np.ndarray, step: int, final: np.ndarray | None = None) -> Stats:
    """Statistics of ``values`` (n, rows): oldest slot first, NaN for missing, the slot in progress in the last column.

    mean, mean_1h, stddev and cv are over final slots: the first ``final`` (n,) of each row; None: all closed slots.
    stddev is the population's (ddof 0, as Prometheus' ``stddev_over_time``). It is computed from differences to the
    last closed sample, so a constant series has exactly 0. A sample is at most sqrt(n - 1) stddevs from the mean
    (Samuelson's inequality), so at most three decimal digits cancel. A change or cv with a divisor of 0 is NaN.
    """
    at, last = last_present(values)
    closed = values[:, :-1]
    if final is not None and (final < closed.shape[1]).any():
        closed = np.where(np.arange(closed.shape[1]) < final[:, None], closed, np.nan)
    _, pivot = last_present(closed)  # a closed sample: the slot in progress may have another size
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


def drop_unsettled(values: np.ndarray, final: np.ndarray) -> None:
    """Sets slots that are not final to NaN in ``values`` (n, rows), except each row's newest sample.

    The first ``final`` (n,) slots are final. Rules rely on this: only the newest sample of a row may still change.
    """
    newest, _ = last_present(values)
    for row in np.flatnonzero(final < newest):
        values[row, final[row] : newest[row]] = np.nan


def _change(at: np.ndarray, last: np.ndarray, values: np.ndarray, column: int) -> np.ndarray:
    """The change from ``values`` at ``column`` to ``last``, as a fraction. NaN unless both exist and differ in time."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = last / values[:, column] - 1
    change[~np.isfinite(change) | (at <= column % values.shape[1])] = np.nan
    return np.asarray(change)


def mean_present(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, number) of the present samples along the last axis of ``values``: float64, NaN without samples; int."""
    count = np.full(values.shape[:-1], values.shape[-1])
    sums = values.sum(axis=-1)
    gappy = np.isnan(sums)
    if gappy.any():
        count[gappy] -= np.isnan(values[gappy]).sum(axis=-1)
        sums[gappy] = np.nansum(values[gappy], axis=-1)
    with np.errstate(invalid="ignore"):
        return sums / count, count


def sliding_means(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(mean, number) of the present samples in each ``width`` columns in a row of ``values`` (n, m).

    (n, m - width + 1) each. As ``mean_present`` of each such stretch, and much faster for many of them.
    """
    missing = np.isnan(values)
    if missing.any():
        count = _sliding_sums((~missing).astype(np.int64), width)
        values = np.where(missing, 0, values)
    else:
        count = np.full((len(values), values.shape[1] - width + 1), width)
    with np.errstate(invalid="ignore"):
        return _sliding_sums(values, width) / count, count


def last_present(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(column, value) of each row's last sample; (-1, NaN) for a row without samples."""
    at, last = np.full(len(values), values.shape[1] - 1), values[:, -1].copy()
    late = np.flatnonzero(np.isnan(last))  # usually none, because the slot in progress is stored
    if len(late):
        present = ~np.isnan(values[late])
        newest = values.shape[1] - 1 - np.argmax(present[:, ::-1], axis=1)
        at[late] = np.where(present.any(axis=1), newest, -1)
        last[late] = values[late, at[late]]
    return at, last


def _sliding_sums(values: np.ndarray, width: int) -> np.ndarray:
    """The sums of each ``width`` columns in a row, put together from sums of 1, 2, 4, 8 ... columns."""
    sums = np.zeros((len(values), values.shape[1] - width + 1), values.dtype)
    block, size, at = values, 1, 0
    while size <= width:
        if width & size:
            sums += block[:, at : at + sums.shape[1]]
            at += size
        block = block[:, :-size] + block[:, size:]
        size *= 2
    return sums
