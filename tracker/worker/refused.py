"""Messages that no worker takes: kept in Redis for a person to look at, the newest MOST of them.

``dt1:refused`` list, newest first, a message as JSON; ``dt1:redelivered:{id}`` integer, how often a task came back.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis import Redis

from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, translated

#: Messages kept.
MOST = 500
#: Characters kept of a message, and of the reason.
SHOWN, REASON = 2_000, 200
#: Seconds for which the deliveries of a task are counted.
LIFE = DAY
REFUSED = f"{PREFIX}:refused"


@dataclass(frozen=True)
class Message:
    """A refused message. ``at``: Unix seconds; ``text``: its beginning, in printable ASCII."""

    at: float
    queue: str
    reason: str
    text: str


class Refused:
    """The refused messages at a server. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.time):
        self.redis: Any = redis  # as in Store
        self.now = now

    def add(self, queue: str, reason: str, text: str | bytes) -> None:
        """Keeps a message; the oldest beyond MOST is dropped."""
        kept = Message(self.now(), printable(queue, REASON), printable(reason, REASON), printable(text, SHOWN))
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.lpush(REFUSED, orjson.dumps(asdict(kept)))
            pipe.ltrim(REFUSED, 0, MOST - 1)
            pipe.execute()

    def all(self) -> list[Message]:
        """The newest first."""
        with translated():
            return [Message(**orjson.loads(each)) for each in self.redis.lrange(REFUSED, 0, -1)]

    def clear(self) -> int:
        """Forgets all; returns how many there were."""
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.llen(REFUSED)
            pipe.delete(REFUSED)
            return int(pipe.execute()[0])

    def redelivered(self, id: str) -> int:
        """Counts that the task ``id`` was delivered again; returns how often it was."""
        key = f"{PREFIX}:redelivered:{id}"
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.incr(key)
            pipe.expire(key, LIFE)
            return int(pipe.execute()[0])


def printable(text: str | bytes, length: int) -> str:
    """The first ``length`` characters as printable ASCII: safe in a line of a log, and on a terminal."""
    start = text[:length]
    known = start.decode(errors="backslashreplace") if isinstance(start, bytes) else start
    return known.encode("unicode_escape").decode()[:length]
