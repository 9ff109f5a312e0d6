"""An order book around a price, and the cost of a trade with it. Pure: one seed always gives one book."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

LEVELS = 100
#: Distances from the mid price at which liquidity is reported, in basis points.
LIQUIDITY_BPS = (25, 50, 75, 100, 150, 200, 250, 300, 400, 500)


@dataclass(frozen=True)
class Book:
    """Asks and bids, best price first: float64 (n, 2) of price, amount. Both sides are empty, or neither."""

    asks: np.ndarray
    bids: np.ndarray

    @property
    def mid(self) -> float:
        return (self.asks[0, 0] + self.bids[0, 0]) / 2 if len(self.asks) else 0.0

    @property
    def fill(self) -> float:
        """The largest amount, in base units, that can be bought and also be sold."""
        return float(min(side[:, 1].sum() for side in (self.asks, self.bids)))

    def cut(self, limit: int | None, depth: float | None, span: float | None) -> "Book":
        """The best ``limit`` levels of a side that reach ``depth`` base units in sum, within ``span`` % of the mid."""
        return Book(*(self._cut(side, limit, depth, span) for side in (self.asks, self.bids)))

    def _cut(self, side: np.ndarray, limit: int | None, depth: float | None, span: float | None) -> np.ndarray:
        if span is not None:
            side = within(side, self.mid, span / 100)
        if depth is not None:
            side = side[: side[:, 1].cumsum().searchsorted(depth) + 1]
        return side[:limit]


def draw(seed: str, price: float, size: float) -> Book:
    """A book around ``price`` that reaches 6 % to both sides. A level has about ``size`` base units."""
    random = np.random.default_rng(int.from_bytes(blake2b(seed.encode(), digest_size=16).digest()))
    # Steps are much larger than the rounding, so that prices stay distinct.
    steps = random.uniform(1e-4, 1.1e-3, (2, LEVELS)).cumsum(axis=1)
    prices = (price * (1 + np.array([[1], [-1]]) * steps)).round(7 - int(np.floor(np.log10(price))))
    amounts = size * random.lognormal(0, 1, (2, LEVELS))
    asks, bids = np.stack([prices, amounts], axis=2)
    return Book(asks, bids)


def within(side: np.ndarray, price: float, share: float) -> np.ndarray:
    """The levels at most ``share`` (a fraction) away from ``price``."""
    return side[np.abs(side[:, 0] - price) <= share * price]


def liquidity(book: Book) -> dict[str, dict[str, dict[str, str]]]:
    """Base and quote amounts within each distance, in Cryptowatch's format."""
    return {"bid": _sums(book.bids, book.mid), "ask": _sums(book.asks, book.mid)}


def _sums(side: np.ndarray, mid: float) -> dict[str, dict[str, str]]:
    near = {str(bps): within(side, mid, bps / 10_000) for bps in LIQUIDITY_BPS}
    return {
        "base": {bps: text(levels[:, 1].sum()) for bps, levels in near.items()},
        "quote": {bps: text(levels.prod(axis=1).sum()) for bps, levels in near.items()},
    }


def quote(side: np.ndarray, amount: float, total: str) -> dict[str, str]:
    """The result of trading ``amount`` base units with a side, in Cryptowatch's format. The side must hold it.

    ``total`` names the sum in quote units: ``spend`` or ``receive``.
    """
    filled = side[:, 1].cumsum()
    last = min(int(filled.searchsorted(amount)), len(side) - 1)
    amounts = np.append(side[:last, 1], amount - (filled[last - 1] if last else 0.0))
    best, reach = side[0, 0], side[last, 0]
    spent = side[: last + 1, 0] @ amounts
    average = spent / amount
    values = {"avgPrice": average, "reachPrice": reach, total: spent}
    for name, price in (("avg", average), ("reach", reach)):
        values[f"{name}Delta"] = abs(price - best)
        values[f"{name}DeltaBps"] = round(abs(price - best) / best * 10_000)
    return {name: text(value) for name, value in values.items()}


def text(value: float) -> str:
    """A number in plain decimal digits."""
    return np.format_float_positional(value, trim="-")
