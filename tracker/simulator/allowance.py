"""The credits a caller has: what a request costs, what is left, and the refusal when nothing is.

Source: https://docs.cryptowat.ch/rest-api/rate-limit. Costs are thousandths of a credit, so that sums stay exact.
"""

from threading import Lock
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from werkzeug.exceptions import TooManyRequests

DAY = 86_400
SHOWN_BUDGET = 10
UPGRADE = "For unlimited API access, create an account at https://cryptowat.ch"
SPENT = "You have exceeded your current API allowance. Upgrade for a higher allowance at https://cryptowat.ch/pricing"


class Credits:
    """The credits all callers without a key share for 24 hours from the first request on; None: never spent."""

    def __init__(self, credits: float | None) -> None:
        self._endless = credits is None
        self._size = round((SHOWN_BUDGET if credits is None else credits) * 1_000)
        self._remaining = self._size
        self._renewal = 0.0
        self._lock = Lock()

    def spend(self, cost: int, now: float) -> dict[str, Any]:
        """Takes ``cost`` and returns the allowance to show; TooManyRequests when less than that is left."""
        with self._lock:
            if now >= self._renewal:
                self._renewal, self._remaining = now + DAY, self._size
            if cost > self._remaining:
                raise TooManyRequests(SPENT)
            if not self._endless:
                self._remaining -= cost
            return self._shown(cost)

    def show(self) -> dict[str, Any]:
        """The allowance, of a request that costs nothing."""
        return self._shown(0)

    def _shown(self, cost: int) -> dict[str, Any]:
        return {"cost": cost / 1_000, "remaining": self._remaining / 1_000, "upgrade": UPGRADE}


def paid(key: str) -> dict[str, Any]:
    """The allowance of a caller with a key, which is never spent."""
    account = str(uuid5(NAMESPACE_URL, key))
    return {"cost": 0, "remaining": SHOWN_BUDGET, "remainingPaid": 9_999_999_999, "account": account}
