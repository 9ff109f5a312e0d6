"""The circuit breaker: whether to call a source that keeps failing. Pure: values and ``now`` in, values out.

closed: all calls pass.
open: no call passes. It opens after FAILURES failures in a row that mean trouble with the whole source (TROUBLE).
probing: the time is over, and one call may pass. Success closes the breaker, failure opens it for longer.
blocked: open for an hour, at once, after an error that a retry cannot fix: a refused country, an unknown key.
"""

from dataclasses import dataclass

#: Failures in a row that open the breaker.
FAILURES = 5
#: Seconds until the first probe, and the longest time. It doubles after each probe that fails.
FIRST, LONGEST = 15, 300
#: Seconds until a blocked source is probed. A person may have fixed the cause by then.
BLOCKED = 3_600
#: Reasons that mean trouble with the whole source, like every http_5NN. Other reasons concern one market or answer.
TROUBLE = {"unreachable", "too_slow", "not_json", "unavailable", "http_403"}


@dataclass(frozen=True)
class Breaker:
    """failures: in a row; until: no calls before this Unix second, 0 if closed; blocked: the reason, else empty."""

    failures: int = 0
    until: float = 0
    blocked: str = ""

    def state(self, now: float) -> str:
        """``closed``, ``open``, ``probing`` or ``blocked``; see the top of the file."""
        if not self.until:
            return "closed"
        if now >= self.until:
            return "probing"
        return "blocked" if self.blocked else "open"

    def after(self, reason: str, permanent: bool, now: float) -> "Breaker":
        """The breaker after a call that failed for ``reason``."""
        if permanent:
            return Breaker(self.failures + 1, now + BLOCKED, reason)
        if reason not in TROUBLE and not reason.startswith("http_5"):
            return Breaker()  # the source answered
        failures = self.failures + 1
        if failures < FAILURES:
            return Breaker(failures)
        return Breaker(failures, now + min(FIRST * 2 ** min(failures - FAILURES, 10), LONGEST))
