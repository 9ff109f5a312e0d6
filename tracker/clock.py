"""The time everything here goes by: the wall clock, or a faster one for replays.

Nothing pure reads it: pure functions take ``now`` as an argument, in Unix seconds.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """A clock that shows ``start`` at the wall time ``start`` and from there runs ``speed`` times as fast."""

    start: float = 0.0
    speed: float = 1.0

    def now(self) -> float:
        """Unix seconds on this clock."""
        return self.at(time.time())

    def at(self, wall: float) -> float:
        """Unix seconds on this clock when the wall clock shows ``wall``."""
        return self.start + (wall - self.start) * self.speed


def utc(now: float) -> str:
    """A Unix second for people."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
