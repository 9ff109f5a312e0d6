"""How far the rounds of the canary came. See tracker/canary.py.

``{dt1}:canary`` hash, stage -> the newest round that reached it, by the time at which the round's interval began.
"""

from typing import Any

from redis import Redis

from tracker.store.connection import PREFIX, translated

#: The stages of a round, in their order.
STAGES = BEGAN, FETCH, EVALUATE, NOTIFY = ("beat", "fetch", "evaluate", "notify")
KEY = f"{PREFIX}:canary"


class Canary:
    """The rounds in a store. Every method may raise StoreError."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis  # as in Store

    def reached(self, stage: str, round: int) -> None:
        """Notes that ``round`` (Unix seconds) reached ``stage``."""
        with translated():
            self.redis.hset(KEY, stage, round)

    def newest(self) -> dict[str, int]:
        """Stage -> the newest round that reached it. A stage that no round reached is left out."""
        with translated():
            return {stage.decode(): int(round) for stage, round in self.redis.hgetall(KEY).items()}

    def missing(self) -> str:
        """The first stage that the newest round did not reach; empty if it reached all, or if there was no round."""
        newest = self.newest()
        return next((stage for stage in STAGES if newest.get(stage, 0) < newest.get(BEGAN, 0)), "")

    def age(self, now: float) -> float | None:
        """Seconds since the newest round that reached all stages; None if none did."""
        passed = self.newest().get(NOTIFY)
        return None if passed is None else max(now - passed, 0)
