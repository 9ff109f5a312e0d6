"""When a failing source is left alone and when it is asked again: the breaker, and the guard that keeps it in Redis."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tests.support.counting import counts
from tests.support.servers import StoreServer, wait_for
from tracker.errors import MustWait, SourceError
from tracker.models import Market, Ticker
from tracker.sources.breaker import BLOCKED, FAILURES, FIRST, LONGEST, Breaker
from tracker.sources.guard import UNSEEN, GuardedSource, SourceGuard
from tracker.store.connection import connect
from tracker.store.series import Store

NOW = 1_700_000_000.0
REASONS = st.sampled_from(["unreachable", "too_slow", "http_503", "http_404", "unknown_market", "http_451"])


def after(*reasons: str, now: float = NOW) -> Breaker:
    breaker = Breaker()
    for reason in reasons:
        breaker = breaker.after(reason, reason == "http_451", now)
    return breaker


def test_it_opens_after_failures_in_a_row_and_is_probed_later_and_later() -> None:
    assert after(*["unreachable"] * (FAILURES - 1)).state(NOW) == "closed"
    waits = []
    for more in range(7):
        breaker = after(*["http_502"] * (FAILURES + more))
        assert breaker.state(NOW) == "open"
        waits.append(breaker.until - NOW)
        assert breaker.state(breaker.until) == "probing"
    assert waits == [15, 30, 60, 120, 240, LONGEST, LONGEST]
    assert waits[0] == FIRST


def test_what_speaks_of_a_market_is_no_failure_of_the_source() -> None:
    assert after(*["http_404", "unknown_market", "negative"] * 10) == Breaker()


def test_what_is_for_good_blocks_at_once_and_says_why() -> None:
    breaker = after("http_451")
    assert breaker.state(NOW) == "blocked"
    assert breaker.blocked == "http_451"
    assert breaker.state(NOW + BLOCKED) == "probing"


@given(st.lists(REASONS))
def test_whatever_fails_it_is_probed_again_within_an_hour(reasons: Sequence[str]) -> None:
    breaker = after(*reasons)
    assert breaker.until <= NOW + BLOCKED
    assert breaker.state(breaker.until or NOW) in ("closed", "probing")


class Fickle:
    """A source that answers, or raises ``error`` if it is set. ``asked`` counts the calls."""

    skew = 1.5

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def markets(self) -> list[Market]:
        self.asked += 1
        if self.error:
            raise self.error
        return []

    def candles(self, market: Market, since: int) -> None:
        raise AssertionError

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        raise AssertionError


@pytest.fixture
def fickle() -> Fickle:
    return Fickle()


@pytest.fixture
def guarded(fickle: Fickle, store: Store) -> GuardedSource:
    return GuardedSource(fickle, store, "x")


def fail(guarded: GuardedSource, error: Exception, times: int = 1) -> None:
    guarded.source.error = error
    for _ in range(times):
        with pytest.raises(type(error)):
            guarded.markets()


def test_calls_are_counted_by_their_outcome_and_failures_by_their_reason(guarded: GuardedSource) -> None:
    with counts("tracker_fetch_seconds_count", source="x", outcome="ok"):
        guarded.markets()
    with (
        counts("tracker_fetch_seconds_count", 2, source="x", outcome="failed"),
        counts("tracker_fetch_failures_total", 2, source="x", reason="http_404"),
    ):
        fail(guarded, SourceError("http_404", "no"), 2)
    with counts("tracker_fetch_seconds_count", 0, source="x", outcome="failed"):
        fail(guarded, MustWait(1, "the budget is spent"))


def set_until(store: Store, breaker: Breaker) -> None:
    SourceGuard(store.redis, "x")._set(breaker)


def test_an_open_breaker_keeps_every_worker_from_asking(guarded: GuardedSource, fickle: Fickle, store: Store) -> None:
    fail(guarded, SourceError("unreachable", "no route"), FAILURES)
    asked = fickle.asked
    for each in (guarded, GuardedSource(fickle, store, "x")):
        with pytest.raises(MustWait, match="failed too often") as raised:
            each.markets()
        assert 0 < raised.value.seconds <= FIRST
    assert fickle.asked == asked


def test_one_probe_closes_it_and_the_others_wait(guarded: GuardedSource, fickle: Fickle, store: Store) -> None:
    set_until(store, Breaker(FAILURES, time.time() - 1))
    guard = SourceGuard(store.redis, "x")
    probe = guard.enter(time.time())
    with pytest.raises(MustWait, match="is being probed"):
        guarded.markets()
    guard.passed(probe)
    guarded.markets()
    assert fickle.asked == 1
    assert guard.look()[0] == Breaker()


def test_a_probe_that_fails_opens_it_for_longer(guarded: GuardedSource, store: Store) -> None:
    set_until(store, Breaker(FAILURES, time.time() - 1))
    fail(guarded, SourceError("too_slow", "still"))
    breaker = SourceGuard(store.redis, "x").look()[0]
    assert breaker.failures == FAILURES + 1
    assert breaker.until - time.time() > FIRST
    assert not store.redis.exists("{dt1}:probe:x")  # the next probe need not wait until this one expires


def test_each_of_the_failures_that_come_at_once_counts(store_server: StoreServer, redis: Redis) -> None:
    # given a call under way in each of several workers
    at_once, clients = threading.Barrier(FAILURES - 1), [connect(store_server.url) for _ in range(FAILURES - 1)]

    def call(client: Redis) -> None:
        guard = SourceGuard(client, "x")
        entered = guard.enter(time.time())
        at_once.wait(30)
        guard.failed(SourceError("too_slow", "all of them"), time.time(), entered)

    # when all fail
    with ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(call, clients))
    # then
    assert SourceGuard(redis, "x").look()[0] == Breaker(FAILURES - 1)
    for client in clients:
        client.close()


def test_calls_that_were_under_way_when_it_opened_do_not_open_it_for_longer(redis: Redis) -> None:
    guard, now = SourceGuard(redis, "x"), time.time()
    under_way = [guard.enter(now) for _ in range(2 * FAILURES)]
    for breaker in under_way:
        guard.failed(SourceError("unreachable", "no route"), now, breaker)
    assert guard.look()[0] == Breaker(FAILURES, now + FIRST)
    guard.failed(BLOCK, now, under_way[0])  # a block still counts
    assert guard.look()[0].blocked == "http_451"


def test_a_probe_that_the_budget_does_not_pay_for_is_left_to_another(guarded: GuardedSource, store: Store) -> None:
    set_until(store, Breaker(FAILURES, time.time() - 1))
    fail(guarded, MustWait(3, "spent"))
    SourceGuard(store.redis, "x").enter(time.time())


def test_a_pause_holds_for_all_until_it_ends(
    guarded: GuardedSource, fickle: Fickle, store: Store, redis: Redis
) -> None:
    fail(guarded, SourceError("http_429", "too many requests", wait=40))
    with pytest.raises(MustWait, match="asked for a pause: too many requests") as raised:
        GuardedSource(fickle, store, "x").markets()
    assert 30 < raised.value.seconds <= 40
    redis.delete("{dt1}:pause:x")
    fickle.error = None
    guarded.markets()


def test_a_block_says_why(guarded: GuardedSource) -> None:
    fail(guarded, SourceError("http_451", "restricted location", permanent=True))
    with pytest.raises(MustWait, match="http_451"):
        guarded.markets()


def test_the_clocks_difference_is_noted_first_at_once(
    guarded: GuardedSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.sources.guard.COMPARED", 1e9)  # longer than this machine may have been up
    guarded.markets()
    assert float(store.status("x")["clock_skew"]) == 1.5


def test_a_block_is_probed_when_a_beat_starts_anew(guarded: GuardedSource, fickle: Fickle, store: Store) -> None:
    fail(guarded, SourceError("http_401", "unknown key", permanent=True))
    fickle.error = None
    guarded.guard.reconsider(time.time())
    guarded.markets()
    assert guarded.guard.look()[0] == Breaker()
    set_until(store, Breaker(FAILURES, time.time() + 60))
    guarded.guard.reconsider(time.time())  # an open breaker stays open
    with pytest.raises(MustWait):
        guarded.markets()


def is_closed(guard: SourceGuard) -> bool:
    try:
        guard.enter(time.time())
        return True
    except MustWait:
        return False


PAUSE = SourceError("http_429", "too many requests", wait=40)
BLOCK = SourceError("http_451", "restricted location", permanent=True)


@pytest.mark.parametrize("error", [PAUSE, BLOCK], ids=["a pause", "a block"])
def test_what_a_gate_finds_it_sees_at_once_and_the_others_soon(redis: Redis, error: SourceError) -> None:
    # given two guards that have looked
    one, other = SourceGuard(redis, "x"), SourceGuard(redis, "x")
    breaker = one.enter(time.time())
    other.enter(time.time())
    # when one sees the error, then
    one.failed(error, time.time(), breaker)
    assert not is_closed(one)
    wait_for(lambda: not is_closed(other), "the other sees it", UNSEEN + 2)
    # and when the source is well again
    redis.delete("{dt1}:pause:x")
    one.passed(Breaker(1))
    assert is_closed(one)
    wait_for(lambda: is_closed(other), "the other sees that", UNSEEN + 2)
    assert breaker == Breaker()


def test_what_another_thread_finds_out_meanwhile_stops_none(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, now, monotonic = SourceGuard(redis, "x"), time.time(), time.monotonic
    guard.enter(now)

    def found_out() -> float:
        guard._seen = None
        return monotonic()

    monkeypatch.setattr("tracker.sources.guard.time.monotonic", found_out)
    assert guard.enter(now) == Breaker()


def test_a_gate_does_not_look_each_time(redis: Redis) -> None:
    guard, started = SourceGuard(redis, "x"), time.monotonic()
    redis.config_resetstat()
    for _ in range(1_000):
        guard.enter(time.time())
    looks = redis.info("commandstats")["cmdstat_pttl"]["calls"]
    assert 1 <= looks <= (time.monotonic() - started) / UNSEEN + 1
