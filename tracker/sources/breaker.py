"""Whether to go on asking a source that fails. Pure: values and ``now`` in, values out.

Closed, it lets all calls through. It opens when FAILURES in a row say that the source as a whole is in trouble; then
one call is let through from time to time, the probe, and the first that succeeds closes it. What no call can mend, a
country that is shut out or a key that is not known, blocks it at once.
"""

from dataclasses import dataclass

#: Failures in a row that open it.
FAILURES = 5
#: Seconds until the first probe, doubled after each that fails, and at most.
FIRST, LONGEST = 15, 300
#: Seconds until a blocked source is probed: someone may have seen to it.
BLOCKED = 3_600
#: Reasons that speak of the source; all others speak of a market, or of one answer. So does every http_5NN.
TROUBLE = {"unreachable", "too_slow", "not_json", "unavailable", "http_403"}


@dataclass(frozen=True)
class Breaker:
    """failures: in a row; until: Unix seconds before which nobody calls, 0: closed; blocked: why, if it is for good."""

    failures: int = 0
    until: float = 0
    blocked: str = ""

    def state(self, now: float) -> str:
        """``closed``, ``open``, ``probing`` (one call may find out) or ``blocked``."""
        if not self.until:
            return "closed"
        if now >= self.until:
            return "probing"
        return "blocked" if self.blocked else "open"

    def after(self, reason: str, permanent: bool, now: float) -> "Breaker":
        """What it is once a call has failed for ``reason``."""
        if permanent:
            return Breaker(self.failures + 1, now + BLOCKED, reason)
        if reason not in TROUBLE and not reason.startswith("http_5"):
            return Breaker()  # it answered
        failures = self.failures + 1
        if failures < FAILURES:
            return Breaker(failures)
        return Breaker(failures, now + min(FIRST * 2 ** min(failures - FAILURES, 10), LONGEST))
