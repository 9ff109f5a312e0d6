"""The credits of callers: takes the cost of a request, shows what is left, and refuses when nothing is left.

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
    """The credits that all callers without a key share. Renewed 24 hours after the first request; None: unlimited."""

    def __init__(self, credits: float | None) -> None:
        self._endless = credits is None
        self._size = round((SHOWN_BUDGET if credits is None else credits) * 1_000)
        self._remaining = self._size
        self._renewal = 0.0
        self._lock = Lock()

    def spend(self, cost: int, now: float) -> dict[str, Any]:
        """Takes ``cost`` and returns the allowance to show; raises TooManyRequests if less than ``cost`` is left."""
        with self._lock:
            if now >= self._renewal:
                self._renewal, self._remaining = now + DAY, self._size
            if cost > self._remaining:
                raise TooManyRequests(SPENT)
            if not self._endless:
                self._remaining -= cost
            return self._shown(cost)

    def show(self) -> dict[str, Any]:
        """The allowance to show for a request that costs nothing."""
        return self._shown(0)

    def _shown(self, cost: int) -> dict[str, Any]:
        return {"cost": cost / 1_000, "remaining": self._remaining / 1_000, "upgrade": UPGRADE}


def paid(key: str) -> dict[str, Any]:
    """The allowance to show to a caller with a key. It never ends."""
    account = str(uuid5(NAMESPACE_URL, key))
    return {"cost": 0, "remaining": SHOWN_BUDGET, "remainingPaid": 9_999_999_999, "account": account}
