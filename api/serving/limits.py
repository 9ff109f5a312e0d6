"""Limits the requests per minute of one key or one address. All processes count in the store.

A window is a minute of the wall clock. One round trip to the store counts a request and returns the count.
Flask-Limiter needs three round trips and runs inside Flask, behind the cache.
"""

import time
from typing import NamedTuple

from tracker.store.series import Store

WINDOW = 60


class Allowance(NamedTuple):
    """``left`` of ``limit`` requests remain for the next ``reset`` seconds. ``left`` is below 0 after too many."""

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
    """Counts a request of ``who``, a key or an address; raises StoreError."""
    window, passed = divmod(int(time.time()), WINDOW)
    return Allowance(limit, limit - store.count(f"{who}:{window}", 2 * WINDOW), WINDOW - passed)
