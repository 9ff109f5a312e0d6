"""Messages that no worker takes. Redis keeps the newest MOST of them, for a person to look at.

``{dt1}:refused`` list, newest first, each message as JSON; ``{dt1}:redelivered:{id}`` integer, how often the message of
the task ``id`` was delivered again.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis import Redis

from tracker.plain import plain
from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, translated

#: Messages kept at most.
MOST = 500
#: Characters kept of a message and of a reason.
SHOWN, REASON = 2_000, 200
#: Seconds after which the count of a task's deliveries is forgotten.
LIFE = DAY
REFUSED = f"{PREFIX}:refused"


@dataclass(frozen=True)
class Message:
    """A refused message. ``at``: Unix seconds; ``text``: at most SHOWN characters of its beginning, in one line."""

    at: float
    queue: str
    reason: str
    text: str


class Refused:
    """The refused messages in a store. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.time):
        self.redis: Any = redis  # as in Store
        self.now = now

    def add(self, queue: str, reason: str, text: str | bytes) -> None:
        """Keeps a message, and drops the oldest if there are more than MOST."""
        kept = Message(self.now(), printable(queue, REASON), printable(reason, REASON), printable(text, SHOWN))
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.lpush(REFUSED, orjson.dumps(asdict(kept)))
            pipe.ltrim(REFUSED, 0, MOST - 1)
            pipe.execute()

    def all(self) -> list[Message]:
        """All kept messages, the newest first."""
        with translated():
            return [Message(**orjson.loads(each)) for each in self.redis.lrange(REFUSED, 0, -1)]

    def clear(self) -> int:
        """Deletes all messages; returns how many there were."""
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.llen(REFUSED)
            pipe.delete(REFUSED)
            return int(pipe.execute()[0])

    def redelivered(self, id: str) -> int:
        """Counts one more delivery of the task ``id``; returns how often it was delivered again."""
        key = f"{PREFIX}:redelivered:{id}"
        with translated():
            pipe = self.redis.pipeline(transaction=True)
            pipe.incr(key)
            pipe.expire(key, LIFE)
            return int(pipe.execute()[0])


def printable(text: str | bytes, length: int) -> str:
    """The beginning of ``text`` as one plain line of at most ``length`` characters. Bytes are read as UTF-8."""
    start = text[:length]
    known = start.decode(errors="backslashreplace") if isinstance(start, bytes) else start
    return plain(known)[:length]
