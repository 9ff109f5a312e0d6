"""What waits in the queues, so that any part can tell it without asking the broker.

A broker tells how many tasks wait, but not since when. So each task carries the time of its publication. Beats note the
lengths and workers note what they take (worker/queues.py). All times are Unix seconds by ``clock.wall``.

``{dt1}:queue:length`` sorted set, queue -> tasks that waited when a beat last looked; ``{dt1}:queue:seen`` string, when
that was; ``{dt1}:queue:taken`` sorted set, queue -> the latest publication among the tasks that workers took;
``{dt1}:queue:empty`` sorted set, queue -> when a beat last found it empty, or first looked.
"""

from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis

from tracker.store.connection import PREFIX
from tracker.store.pipelines import pipeline
from tracker.store.raw import Command

LENGTH, SEEN, TAKEN, EMPTY = (f"{PREFIX}:queue:{name}" for name in ("length", "seen", "taken", "empty"))


class Waiting(NamedTuple):
    """``length``: tasks that wait in a queue. ``age``: seconds since the oldest was published, at most; 0 if none."""

    length: int
    age: float


class Queues(NamedTuple):
    """``seen_age``: seconds since a beat last looked, None if none ever did. ``waiting``: by the queue's name."""

    seen_age: float | None
    waiting: dict[str, Waiting]


def note_taken(redis: Redis, published: Mapping[str, float]) -> None:
    """Workers took a task from each of these queues, which was published then. Raises StoreError."""
    pipeline(redis).ask([("ZADD", TAKEN, "GT", at, queue) for queue, at in published.items()])


def note_lengths(redis: Redis, lengths: Mapping[str, int], now: float) -> None:
    """A beat that looked at ``now`` found these lengths. Raises StoreError."""
    commands: list[Command] = [("SET", SEEN, now)]
    for queue, length in lengths.items():
        commands.append(("ZADD", LENGTH, length, queue))
        commands.append(("ZADD", EMPTY, "NX", now, queue) if length else ("ZADD", EMPTY, now, queue))
    pipeline(redis).ask(commands)


def read(redis: Redis, now: float) -> Queues:
    """What waits in the queues. Raises StoreError.

    Queues are first in, first out. So the oldest task was published after the last one that was taken, and after the
    queue was last empty.
    """
    seen, *found = pipeline(redis).ask([
        ("GET", SEEN),
        *(("ZRANGE", key, 0, -1, "WITHSCORES") for key in (LENGTH, TAKEN, EMPTY)),
    ])  # fmt: skip
    lengths, taken, empty = ({name.decode(): score for name, score in each} for each in found)
    waiting = {
        queue: Waiting(int(length), max(now - max(taken.get(queue, 0), empty.get(queue, now)), 0) if length else 0)
        for queue, length in lengths.items()
    }
    return Queues(None if seen is None else max(now - float(seen), 0), waiting)
