"""How many requests a minute one key or one address may make, counted in Redis for all processes.

Windows are the minutes of the wall clock: one exchange with the store counts a request and tells what is left. The
limiters of Flask-Limiter take three, and stand behind Flask, where the cache is not.
"""

import time
from typing import NamedTuple

from tracker.store.series import Store

WINDOW = 60


class Allowance(NamedTuple):
    """``left`` of ``limit`` requests until ``reset`` seconds from now; below 0 if it is overdrawn."""

    limit: int
    left: int
    reset: int

    @property
    def headers(self) -> list[tuple[str, str]]:
        """RateLimit header fields, after draft-ietf-httpapi-ratelimit-headers-06."""
        return [
            ("RateLimit-Policy", f"{self.limit};w={WINDOW}"),
            ("RateLimit-Limit", str(self.limit)),
            ("RateLimit-Remaining", str(max(self.left, 0))),
            ("RateLimit-Reset", str(self.reset)),
        ]


def spend(store: Store, who: str, limit: int) -> Allowance:
    """Counts a request of ``who``; raises StoreError."""
    window, passed = divmod(int(time.time()), WINDOW)
    return Allowance(limit, limit - store.count(f"{who}:{window}", 2 * WINDOW), WINDOW - passed)
