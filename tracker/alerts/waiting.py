"""The rows whose last try failed, by channel: one of them probes the channel, and a success wakes the others.

``{dt1}:waiting:{channel}`` sorted set, ids of rows by the time of their next try (Unix seconds). A row leaves it when
it is claimed or woken.
"""

from collections.abc import Callable
from typing import Any

from redis import Redis

from tracker.store.connection import PREFIX, translated

#: While rows wait for a failing channel, one of them is tried at least every so many seconds; the others wait longer.
#: No row is woken sooner than this after its own last try.
PROBE = 60


class Waiting:
    """The waiting rows. Times are Unix seconds of ``now``. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float]):
        self.redis: Any = redis  # as in Store
        self.now = now

    def add(self, pipe: Any, id: str, after: float, life: int) -> None:
        """Adds to the transaction ``pipe``: the row failed and is tried again at ``after``."""
        pipe.zadd(_key(id), {id: after})
        pipe.expire(_key(id), life)

    def remove(self, pipe: Any, id: str) -> None:
        """Adds to the transaction ``pipe``: the row is being tried."""
        pipe.zrem(_key(id), id)

    def is_probed(self, id: str) -> bool:
        """Whether a row of the same channel as ``id`` is tried again within PROBE seconds."""
        with translated():
            return bool(self.redis.zcount(_key(id), self.now() - PROBE, self.now() + PROBE) > 0)

    def pop(self, id: str, most: int) -> list[str]:
        """Removes up to ``most`` rows of the same channel as ``id``, those with the longest wait first; returns ids."""
        with translated():
            return [each.decode() for each, _ in self.redis.zpopmax(_key(id), most)]


def _key(id: str) -> str:
    return f"{PREFIX}:waiting:{id.split('/')[1]}"
