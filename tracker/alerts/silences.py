"""Silences in Redis: alerts of matching metrics are recorded, but not sent before the silence ends.

``{dt1}:silences`` hash, id -> a silence as JSON.
"""

import json
from dataclasses import asdict, dataclass
from secrets import token_hex
from typing import Any

from redis import Redis

from tracker.errors import TrackerError
from tracker.models import matches
from tracker.store.connection import translated
from tracker.store.layout import SILENCES

#: At most so many silences at a time: each notice is compared with all of them.
MOST = 200


@dataclass(frozen=True)
class Silence:
    """match: globs on metric ids; until: Unix seconds; reason: a text for people."""

    id: str
    match: tuple[str, ...]
    until: float
    reason: str


class Silences:
    """The silences in force. Every method may raise StoreError; ``now`` is in Unix seconds."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis  # as in Store

    def add(self, match: tuple[str, ...], until: float, reason: str, now: float) -> Silence:
        """Adds a silence; raises TrackerError if there are MOST already."""
        if len(self.all(now)) >= MOST:
            raise TrackerError(f"there are {MOST} silences already: remove some, or let one match more")
        silence = Silence(token_hex(6), match, until, reason)
        with translated():
            self.redis.hset(SILENCES, silence.id, json.dumps(asdict(silence)))
        return silence

    def all(self, now: float) -> list[Silence]:
        """The silences in force, the first to end first; removes those that have ended."""
        with translated():
            stored = [json.loads(each) for each in self.redis.hvals(SILENCES)]
            found = [Silence(**each | {"match": tuple(each["match"])}) for each in stored]
            if ended := [silence.id for silence in found if silence.until <= now]:
                self.redis.hdel(SILENCES, *ended)
        return sorted((each for each in found if each.until > now), key=lambda each: (each.until, each.id))

    def remove(self, id: str) -> bool:
        """Removes the silence; False if there was none of that id."""
        with translated():
            return bool(self.redis.hdel(SILENCES, id))

    def covering(self, metric: str, now: float) -> Silence | None:
        """A silence for ``metric``, or None. Of several, the one that ends first."""
        return next((each for each in self.all(now) if matches(each.match, metric)), None)
