"""The kind ``spread``: a market's price against the median of the exchanges that trade the same pair."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from tracker.alerts.rules.base import ROUNDING, PercentRule, directed
from tracker.alerts.rules.series import WindowSlice

#: With fewer prices than this there is no telling which one is off.
FEWEST = 3


class Spread(PercentRule):
    """Fires when a price differs by more than ``percent`` from the median of its pair's exchanges in the same slot.

    exchanges: the least number of exchanges with a price, its own included. Only final slots with a trade count.
    """

    KIND = "spread"
    MESSAGE = (
        "{metric}: {value:.6g} is {percent:+.2f} % from {baseline:.6g}, the median of {samples} exchanges, "
        "beyond {factor:g} %"
    )
    LEVELLESS: ClassVar[str] = "too few exchanges trade the pair"
    NEEDS_PEERS: ClassVar[bool] = True

    exchanges: Annotated[int, Field(ge=FEWEST, le=100)] = FEWEST

    @property
    def field(self) -> str:
        return "price"

    @property
    def window(self) -> int:
        return 0

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, self.direction, self.exchanges)

    def level(self, at: WindowSlice) -> np.ndarray:
        median, exchanges = self.grounds(at)
        judged = at.final & (exchanges >= self.exchanges) & (median > 0) & (at.value_beside("volume") != 0)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            percent = np.where(judged, (at.value / median - 1) * (100 / ROUNDING), np.nan)
        return directed(percent, self.direction, at.final)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return at.value_beside("median"), at.value_beside("exchanges")

    def details(self, at: WindowSlice, row: int, k: int) -> dict[str, Any]:
        """The median, the number of exchanges that it is of, and the difference in percent."""
        median, exchanges = (each[row, k].item() for each in self.grounds(at))
        percent = 100 * (at.value[row, k].item() / median - 1)
        return {"median": median, "exchanges": int(exchanges), "percent": percent}


def pair_of(market: str) -> str:
    """The pair of a market, the same on every exchange."""
    return market.partition(":")[2]


def medians(
    wanted: Sequence[str], pairs: Sequence[str], prices: np.ndarray, volumes: np.ndarray
) -> dict[str, np.ndarray]:
    """What ``Spread`` needs beside the prices of markets of the pairs ``wanted``: ``median``, ``exchanges``.

    ``pairs`` (p,), ``prices`` and ``volumes`` (p, slots) are of markets, all exchanges of each pair among them; the
    results: (m, slots) each. NaN is a missing value or one that is not final. A price in a slot without a trade is
    carried over, so it does not count.
    """
    rows_of: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        rows_of.setdefault(pair, []).append(row)
    traded = np.where(volumes == 0, np.nan, prices)
    place = {pair: at for at, pair in enumerate(dict.fromkeys(wanted))}
    rows = [rows_of.get(pair, []) for pair in place]
    counts = np.array([len(each) for each in rows], int)
    median, exchanges = np.full((len(rows), prices.shape[1]), np.nan), np.zeros((len(rows), prices.shape[1]))
    for count in set(counts.tolist()) - {0}:  # all pairs with as many exchanges at once
        same = np.flatnonzero(counts == count)
        median[same], exchanges[same] = _medians(traded[[rows[at] for at in same.tolist()]])
    index = np.array([place[pair] for pair in wanted], int)
    return {"median": median[index], "exchanges": exchanges[index]}


def _medians(prices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median of the present prices of each pair's exchanges, NaN without any, and their number.

    ``prices``: (pairs, exchanges, slots); the results: (pairs, slots).
    """
    ordered = np.sort(prices, axis=1)  # NaN comes last
    count = np.count_nonzero(~np.isnan(ordered), axis=1)
    low, high = (
        np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
        for middle in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, prices.shape[1] - 1))
    )
    return (low + high) / 2, count
