"""What the parts of the Store share: the connection and the ring."""

from typing import Any

from redis import Redis

from tracker.series.ring import Ring
from tracker.store.pipelines import pipeline


class Stored:
    """Something that is stored. Every method may raise StoreError; every write may be repeated."""

    def __init__(self, redis: Redis, ring: Ring):
        self.redis: Any = redis  # redis-py's types allow for text answers, which this client never gets
        self.ring = ring
        self._raw = pipeline(redis)
