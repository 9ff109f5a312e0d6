"""Generated markets whose volume jumps when a test says so."""

import numpy as np

from tracker.simulator.feeds import Generated


class Spiking(Generated):
    """Generated markets that all trade a thousand times as much in the minute ``spike``."""

    spike = 0

    def candles(self, exchange: str, pair: str, first: int, last: int) -> np.ndarray:
        rows = super().candles(exchange, pair, first, last).copy()
        rows[rows[:, 0] == self.spike, 5] *= 1_000
        return rows
