"""Whether each source gives data in time: the one answer that says that the tracker works."""

from collections.abc import Mapping
from typing import NamedTuple

from tracker.settings import Settings

#: Data older than so many intervals is late, but never before it is so many real seconds old.
INTERVALS, AT_LEAST = 2, 10


class Freshness(NamedTuple):
    """state: ``fresh``, ``late``, or ``waiting`` for the first data; age: seconds since the last data, None: never."""

    state: str
    age: float | None
    limit: float


def freshness(statuses: Mapping[str, Mapping[str, str]], settings: Settings) -> dict[str, Freshness]:
    """How fresh the data of each source is, by name. ``statuses``: what ``Store.status`` returns for each, by name."""
    return {source: _of(status, source, settings) for source, status in statuses.items()}


def late(found: dict[str, Freshness]) -> list[str]:
    """A line for each source whose data is late."""
    return [
        f"{source}: no data for {each.age:.0f} s, expected within {each.limit:.0f} s"
        for source, each in found.items()
        if each.state == "late"
    ]


def _of(status: Mapping[str, str], source: str, settings: Settings) -> Freshness:
    limit = max(INTERVALS * settings.intervals.of(source), AT_LEAST * settings.clock.speed)
    if "last_success" not in status:
        return Freshness("waiting", None, limit)
    age = max(settings.clock.now() - float(status["last_success"]), 0.0)
    return Freshness("late" if age > limit else "fresh", age, limit)
