"""Faults of the work: data that does not come, tasks that wait, notices and messages that were given up."""

import time
from collections.abc import Callable

import pytest
from redis import Redis

from tests.support.examined import examined, problems, well
from tests.support.notices import ALERT, FAILED
from tests.support.servers import StoreServer
from tracker.alerts.outbox import Outbox
from tracker.errors import SourceError
from tracker.sources.breaker import FAILURES
from tracker.sources.guard import SourceGuard
from tracker.store import queues
from tracker.store.canary import NOTIFY, STAGES, Canary
from tracker.store.series import Store
from tracker.worker.refused import Refused

#: What is found of the work.
CHECKS = ("sources", "sources' clocks", "backlog", "notices", "refused messages", "canary")
Faults = Callable[[], dict[str, list[str]]]


@pytest.fixture
def faults(store_server: StoreServer, redis: Redis) -> Faults:
    """The faults of the work that are found in a tracker that was well before the test."""
    well(redis)

    def faults() -> dict[str, list[str]]:
        found = problems(examined(REDIS_URL=store_server.url))
        return {check: texts for check, texts in found.items() if check in CHECKS}

    return faults


def test_all_is_well(faults: Faults) -> None:
    assert faults() == {}


def test_data_that_is_late(faults: Faults, store: Store) -> None:
    store.note("simulator", last_success=time.time() - 300)
    [text] = faults()["sources"]
    assert text == "simulator: no data for 300 s, expected within 120 s"


def test_a_source_that_is_down(faults: Faults, redis: Redis, store: Store) -> None:
    store.failed("simulator", time.time(), "unreachable", "it does not answer")
    guard = SourceGuard(redis, "simulator")
    for _ in range(FAILURES):
        guard.failed(SourceError("unreachable", "it does not answer"), time.time(), guard.look()[0])
    [text] = faults()["sources"]
    assert text == "simulator is down: it does not answer"


def test_the_clock_of_a_source(faults: Faults, store: Store) -> None:
    store.note("simulator", clock_skew=-30.0)
    assert faults() == {"sources' clocks": ["that of simulator is 30 s behind ours"]}


def test_tasks_that_wait(faults: Faults, redis: Redis) -> None:
    queues.note_lengths(redis, {"evaluate": 1_200}, time.time())
    redis.zadd(queues.EMPTY, {"evaluate": time.time() - 90})
    redis.zadd(queues.TAKEN, {"evaluate": time.time() - 75})
    assert faults() == {"backlog": ["1,200 tasks wait in evaluate, the oldest for up to 75 s"]}


def test_without_a_count_of_the_queues_the_backlog_is_not_known(redis: Redis, store_server: StoreServer) -> None:
    [backlog] = examined(REDIS_URL=store_server.url)["backlog"]
    assert backlog.state == "unknown"


def test_notices_that_were_given_up(faults: Faults, redis: Redis) -> None:
    outbox = Outbox(redis)
    outbox.record(ALERT, 60, ["phone"])
    row, _ = outbox.deliveries.claim(f"{ALERT.id}/phone/firing", 60)
    outbox.deliveries.settle(row, "dead", FAILED)
    assert faults() == {"notices": ["1 were given up"]}


def test_messages_that_no_worker_could_take(faults: Faults, redis: Redis) -> None:
    Refused(redis).add("fetch", "not readable", "x")
    assert faults() == {"refused messages": ["1 are kept that no worker could take"]}


def test_a_canary_that_does_not_pass(redis: Redis, store_server: StoreServer) -> None:
    def canary() -> list[str]:
        found = examined(REDIS_URL=store_server.url, HEARTBEAT_URL="http://127.0.0.1/x")
        return problems(found).get("canary", [])

    assert canary() == ["no round has passed yet"]
    for stage in STAGES:
        Canary(redis).reached(stage, int(time.time()))
    assert canary() == []
    Canary(redis).reached(NOTIFY, int(time.time()) - 240)
    assert canary() == ["no round has passed for 4 min"]
