"""Guards each call to a source with its pause, its breaker and its budget, which all workers share in Redis:

``{dt1}:breaker:{source}``: string, a Breaker as JSON.
``{dt1}:probe:{source}``: string, set by the worker that probes.
``{dt1}:pause:{source}``: string, why the source asked for a pause. It expires when the pause ends.
``{dt1}:budget:...``: see budget.py.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

import orjson
from redis import Redis

from tracker import counts
from tracker.clock import wall
from tracker.errors import MustWait, SourceError
from tracker.models import Candles, Market, Ticker
from tracker.settings import Settings
from tracker.sources import Source, free, open_source
from tracker.sources.breaker import Breaker
from tracker.sources.budget import Budget, plan
from tracker.store.connection import PREFIX, translated
from tracker.store.pipelines import pipeline
from tracker.store.series import Store

#: Seconds that a probe may take, and seconds that other workers wait before they look again.
PROBE, AGAIN = 60, 5
#: How long a worker trusts its last look at the shared breaker, in seconds. Shorter than one request.
UNSEEN = 0.1
#: Seconds between two comparisons of the source's clock with ours.
COMPARED = 60

T = TypeVar("T")


class SourceGuard:
    """Decides whether the source ``name`` may be called now. Its methods may raise StoreError."""

    def __init__(self, redis: Redis, name: str):
        self._redis, self._raw = redis, pipeline(redis)
        self.name = name
        self._breaker, self._probe, self._pause = (f"{PREFIX}:{kind}:{name}" for kind in ("breaker", "probe", "pause"))
        self._seen: tuple[float, tuple[Breaker, float, str]] | None = None  # when, by time.monotonic, and what

    def enter(self, now: float) -> Breaker:
        """Call this before a call to the source. Returns the breaker that let it through; raises MustWait.

        Uses a look that is at most UNSEEN seconds old: a look costs as much as a call to a fast source.
        """
        seen = self._seen  # read once: another thread may reset it
        if not seen or time.monotonic() - seen[0] > UNSEEN:
            seen = self._seen = time.monotonic(), self.look()
        breaker, pause, why = seen[1]
        if pause:
            raise MustWait(pause, f"{self.name} asked for a pause: {why}")
        state = breaker.state(now)
        if state in ("open", "blocked"):
            raise MustWait(breaker.until - now, f"{self.name} is not asked: {breaker.blocked or 'it failed too often'}")
        if state == "probing" and not self._claim():
            raise MustWait(AGAIN, f"{self.name} is being probed")
        return breaker

    def passed(self, breaker: Breaker) -> None:
        """Call this after the source has answered."""
        if breaker != Breaker():
            self._set(Breaker())

    def failed(self, error: SourceError, now: float, entered: Breaker) -> None:
        """Call this after a call failed with ``error``. ``entered`` is the breaker that let the call through."""

        def count(before: Breaker) -> Breaker:
            if before.until and not entered.until and not error.permanent:
                return before  # this call began before the breaker opened: it must not delay the probe
            return Breaker() if error.wait else before.after(error.reason, error.permanent, now)

        self._change(count)
        if error.wait:
            why, wait = str(error)[:500].encode(errors="replace"), max(int(error.wait * 1_000), 1)
            self._raw.ask([("SET", self._pause, why, "PX", wait)])

    def left(self) -> None:
        """Call this if the call was not made after all, so that another worker may probe."""
        self._raw.ask([("DEL", self._probe)])

    def reconsider(self, now: float) -> None:
        """Lets a blocked source be probed now: its key or its address may have changed."""
        self._change(lambda breaker: replace(breaker, until=now) if breaker.blocked else breaker)

    def look(self) -> tuple[Breaker, float, str]:
        """(the breaker, seconds left of the pause, why the source asked for it)."""
        stored, left, why = self._raw.ask([("GET", self._breaker), ("PTTL", self._pause), ("GET", self._pause)])
        return _loaded(stored), max(left, 0) / 1_000, (why or b"").decode()

    def _claim(self) -> bool:
        return self._raw.ask([("SET", self._probe, "", "NX", "EX", PROBE)]) != [None]

    def _change(self, change: Callable[[Breaker], Breaker]) -> None:
        """Applies ``change`` to the stored breaker in a transaction, so that no concurrent change is lost."""

        def transact(pipe: Any) -> None:
            before = _loaded(pipe.get(self._breaker))
            pipe.multi()
            if (after := change(before)) != before:
                pipe.set(self._breaker, _stored(after)).delete(self._probe)

        with translated():
            self._redis.transaction(transact, self._breaker)
        self._seen = None

    def _set(self, breaker: Breaker) -> None:
        self._seen = None
        self._raw.ask([("SET", self._breaker, _stored(breaker)), ("DEL", self._probe)])


def _stored(breaker: Breaker) -> bytes:
    return orjson.dumps(asdict(breaker))


def _loaded(stored: bytes | None) -> Breaker:
    return Breaker(**orjson.loads(stored)) if stored else Breaker()


class GuardedSource:
    """A source with its guard. See Source. Every call may raise MustWait."""

    def __init__(self, source: Source, store: Store, name: str):
        self.source = source
        self.store = store
        self.name = name
        self.guard = SourceGuard(store.redis, name)
        self._compared = -math.inf

    @property
    def skew(self) -> float | None:
        return self.source.skew

    def markets(self) -> list[Market]:
        return self._asked(self.source.markets)

    def candles(self, market: Market, since: int) -> Candles:
        return self._asked(lambda: self.source.candles(market, since))

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        return self._asked(lambda: self.source.tickers(markets))

    def _asked(self, call: Callable[[], T]) -> T:
        breaker = self.guard.enter(wall())
        began = time.perf_counter()
        try:
            answer = call()
        except SourceError as error:
            counts.FETCHES.labels(self.name, "failed").observe(time.perf_counter() - began)
            counts.FAILURES.labels(self.name, error.reason).inc()
            self.guard.failed(error, wall(), breaker)
            raise
        except MustWait:
            if breaker.until:
                self.guard.left()
            raise
        counts.FETCHES.labels(self.name, "ok").observe(time.perf_counter() - began)
        self.guard.passed(breaker)
        if time.monotonic() - self._compared > COMPARED:
            self._compared = time.monotonic()
            if (skew := self.skew) is not None:
                self.store.note(self.name, clock_skew=f"{skew:.3f}")
        return answer


def guarded(name: str, settings: Settings, store: Store) -> GuardedSource:
    """Opens the source ``name`` for workers, with its guard. Every request is paid for from the shared budget."""
    limit = plan(name, settings)
    pay = Budget(store.redis, name, limit).spend if limit else free
    return GuardedSource(open_source(name, settings, pay), store, name)
