"""The parts that run, as they tell the store: each worker, beat and API process writes a heartbeat, see heartbeat.py.

Keys: ``{dt1}:part:{kind}/{host}/{pid}`` string, JSON of a Part; ``{dt1}:parts`` sorted set, the ids of these keys ->
time of their last heartbeat. How old a heartbeat is follows from what is left of its key's life, so only the store's
clock counts.
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from redis import Redis

from tracker import __version__
from tracker.clock import wall
from tracker.store.connection import PREFIX, translated

#: Seconds that a heartbeat is kept: so long a part that was killed is still seen.
LIFE = 300
#: A part that has sent no heartbeat for so many seconds is silent. It sends one every 5 s.
SILENT = 20
#: A worker that has taken no messages for so many seconds, or a beat that has sent no ticks, is idle.
IDLE = 30
STATES = ("working", "idle", "silent")
INDEX = f"{PREFIX}:parts"


@dataclass(frozen=True)
class Part:
    """A process as it tells of itself. kind: worker, beat or api; queues: those that a worker takes tasks from.

    began: when the process began; now: what its machine's clock shows, both in Unix s; idle: seconds since it last did
    its work, or since it began.
    """

    kind: str
    name: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    began: float
    now: float
    idle: float

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.host}/{self.pid}"


@dataclass(frozen=True)
class Seen(Part):
    """A part as the store knows it. age: seconds since its last heartbeat; ahead: seconds by which its clock is ahead
    of the store's."""

    age: float
    ahead: float

    @property
    def state(self) -> str:
        """``working``, ``idle``, or ``silent``: it was killed, hangs, or does not reach the store."""
        if self.age > SILENT:
            return "silent"
        return "idle" if self.idle + self.age > IDLE else "working"


def this(kind: str, name: str, queues: Sequence[str], began: float, idle: float) -> Part:
    """This process."""
    host = socket.gethostname()
    return Part(kind, name, host, os.getpid(), __version__, tuple(queues), began, time.time(), idle)


def write(redis: Redis, part: Part) -> None:
    """Writes the heartbeat of ``part``. Raises StoreError."""
    with translated():
        pipe = redis.pipeline(transaction=False)
        pipe.set(_key(part.id), json.dumps(asdict(part)), ex=LIFE)
        pipe.zadd(INDEX, {part.id: wall()})
        pipe.zremrangebyscore(INDEX, "-inf", wall() - LIFE)
        pipe.expire(INDEX, LIFE)
        pipe.execute()


def remove(redis: Redis, part: Part) -> None:
    """Forgets ``part``, which stops. Raises StoreError."""
    with translated():
        pipe = redis.pipeline(transaction=False)
        pipe.delete(_key(part.id))
        pipe.zrem(INDEX, part.id)
        pipe.execute()


def read(redis: Redis) -> list[Seen]:
    """The parts that sent a heartbeat within LIFE seconds, by kind, name and start. Raises StoreError.

    Leaves out what was killed and started again since, and what it cannot read: a part of another version may write
    something else.
    """
    with translated():
        ids: Any = redis.zrange(INDEX, 0, -1)
        pipe = redis.pipeline(transaction=False)
        pipe.time()
        for id in ids:
            pipe.get(_key(id.decode()))
            pipe.pttl(_key(id.decode()))
        (seconds, microseconds), *replies = pipe.execute()
    now = seconds + microseconds / 1e6
    told = [_seen(text, left, now) for text, left in zip(replies[::2], replies[1::2], strict=True)]
    found = sorted(filter(None, told), key=lambda each: (each.kind, each.name, each.began))
    newest = {(each.kind, each.name, each.host): each.began for each in found}
    return [each for each in found if each.state != "silent" or each.began == newest[each.kind, each.name, each.host]]


def _seen(text: bytes | None, left: int, now: float) -> Seen | None:
    if text is None:
        return None
    try:
        told = json.loads(text)
        part = {field.name: told[field.name] for field in fields(Part)} | {"queues": tuple(told["queues"])}
        age = LIFE - left / 1000
        return Seen(**part, age=age, ahead=told["now"] - (now - age))
    except (ValueError, KeyError, TypeError):
        return None


def _key(id: str) -> str:
    return f"{PREFIX}:part:{id}"
