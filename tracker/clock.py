"""The time everything here goes by: the wall clock, or a faster one for replays.

Nothing pure reads it: pure functions take ``now`` as an argument, in Unix seconds.

A machine's clock may be wrong, and all machines write to one store. So the store's clock counts: ``wall`` is this
machine's clock, corrected by what ``skew.py`` has found.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

#: Seconds that this machine's clock is ahead of the store's; 0 while the difference does not matter.
_ahead = 0.0


def wall() -> float:
    """Unix seconds, the same on all machines of one store."""
    return time.time() - _ahead


def ahead() -> float:
    """Seconds that ``wall`` takes off this machine's clock."""
    return _ahead


def set_ahead(seconds: float) -> None:
    global _ahead
    _ahead = seconds


@dataclass(frozen=True)
class Clock:
    """A clock that shows ``start`` at the wall time ``start`` and from there runs ``speed`` times as fast."""

    start: float = 0.0
    speed: float = 1.0

    def now(self) -> float:
        """Unix seconds on this clock."""
        return self.at(wall())

    def at(self, wall: float) -> float:
        """Unix seconds on this clock when the wall clock shows ``wall``."""
        return self.start + (wall - self.start) * self.speed


def utc(now: float) -> str:
    """A Unix second for people."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
