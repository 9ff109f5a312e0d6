"""The time that the whole tracker uses: the wall clock, or a faster clock for replays.

Pure functions do not read it. They take ``now`` as an argument, in Unix seconds.

A machine's clock may be wrong, and all machines write to one store. So the store's clock is the right one: ``wall`` is
this machine's clock minus the difference that ``tracker/store/skew.py`` measured.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

#: How far this machine's clock is ahead of the store's, in seconds. 0 if the difference is too small to matter.
_ahead = 0.0


def wall() -> float:
    """Unix seconds, the same on all machines of one store."""
    return time.time() - _ahead


def ahead() -> float:
    """The seconds that ``wall`` subtracts from this machine's clock."""
    return _ahead


def set_ahead(seconds: float) -> None:
    global _ahead
    _ahead = seconds


@dataclass(frozen=True)
class Clock:
    """Runs ``speed`` times as fast as the wall clock. Both show the same time at ``start``."""

    start: float = 0.0
    speed: float = 1.0

    def now(self) -> float:
        """Unix seconds on this clock."""
        return self.at(wall())

    def at(self, wall: float) -> float:
        """Unix seconds on this clock when the wall clock shows ``wall``."""
        return self.start + (wall - self.start) * self.speed


def utc(now: float) -> str:
    """Unix seconds as text for people, to the minute."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
