"""What silences hold back: rows of the outbox until they are released, and which alerts these were of.

``{dt1}:held`` set, the silences that hold rows back; ``{dt1}:held:{silence}`` sorted set, the ids of these rows by the
time of holding; ``{dt1}:held-alerts:{silence}`` sorted set, the ids of their alerts by the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from tracker.models import Delivery
from tracker.store.connection import PREFIX, transact, translated
from tracker.store.layout import DUE

#: One sweep makes so many rows of an ended silence due.
RELEASED = 10_000
#: So many alerts are counted for a silence.
COUNTED = 10_000
#: So many of them are listed.
LATEST = 5
HOLDING = f"{PREFIX}:held"


@dataclass(frozen=True)
class HeldBack:
    """The alerts that a silence has held back. count: COUNTED at most; latest: LATEST of (alert id, Unix seconds)."""

    count: int
    latest: tuple[tuple[str, float], ...]


class Held:
    """The rows that silences hold back. Times are Unix seconds of ``now``. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float]):
        self.redis: Any = redis  # as in Store
        self.now = now

    def add(self, pipe: Any, row: Delivery, silence: str, life: int) -> None:
        """Adds to the transaction ``pipe``: the silence of that id holds ``row`` back."""
        now = self.now()
        for key, id in ((_rows_key(silence), row.id), (_alerts_key(silence), row.alert)):
            pipe.zadd(key, {id: now})
            pipe.zremrangebyscore(key, 0, now - life)
            pipe.expire(key, life)
        pipe.zremrangebyrank(_alerts_key(silence), 0, -COUNTED - 1)
        pipe.sadd(HOLDING, silence)

    def holding(self) -> set[str]:
        """Ids of the silences that hold rows back, and of ended ones whose rows are not released yet."""
        with translated():
            return {id.decode() for id in self.redis.smembers(HOLDING)}

    def release(self, silence: str) -> None:
        """Makes up to RELEASED rows of ``silence`` due; ``holding`` names the silence until the last one is."""
        held = _rows_key(silence)

        def work(pipe: Any) -> None:
            rows = pipe.zrange(held, 0, RELEASED - 1)
            pipe.multi()
            if rows:
                pipe.zadd(DUE, dict.fromkeys(rows, self.now()))
                pipe.zrem(held, *rows)
            if len(rows) < RELEASED:
                pipe.srem(HOLDING, silence)
                pipe.delete(_alerts_key(silence))

        transact(self.redis, work, held)

    def back(self, silences: Sequence[str]) -> list[HeldBack]:
        """What each of the ``silences`` (ids) has held back, the last alert first."""
        with translated():
            pipe = self.redis.pipeline(transaction=False)
            for silence in silences:
                pipe.zcard(_alerts_key(silence))
                pipe.zrevrange(_alerts_key(silence), 0, LATEST - 1, withscores=True)
            found = pipe.execute()
        return [
            HeldBack(count, tuple((id.decode(), at) for id, at in latest))
            for count, latest in zip(found[::2], found[1::2], strict=True)
        ]


def _rows_key(silence: str) -> str:
    return f"{HOLDING}:{silence}"


def _alerts_key(silence: str) -> str:
    return f"{PREFIX}:held-alerts:{silence}"
