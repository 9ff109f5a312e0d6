"""Heartbeats of parts: what the store knows of each, however wrong their clocks are."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from tests.support import acl
from tests.support.redis_servers import Cluster, Server
from tests.support.servers import wait_for
from tracker.settings import load
from tracker.store import heartbeat, parts
from tracker.store.connection import connect
from tracker.store.parts import IDLE, INDEX, LIFE, SILENT, Seen


def part(name: str = "fetch", **told: object) -> parts.Part:
    return replace(parts.this("worker", name, ["fetch"], 1_700_000_000.0, 0), **told)


def seen(redis: Redis, one: parts.Part, age: float = 0) -> Seen:
    """What is read of ``one``, whose heartbeat is ``age`` seconds old."""
    parts.write(redis, one)
    redis.pexpire(f"{{dt1}}:part:{one.id}", int((LIFE - age) * 1000))
    [found] = parts.read(redis)
    return found


def test_a_part_is_read_as_it_was_written(redis: Redis) -> None:
    written = part()
    found = seen(redis, written)
    assert parts.Part(**{name: getattr(found, name) for name in vars(written)}) == written
    assert found.state == "working" and abs(found.age) < 1 and abs(found.ahead) < 1


def test_states(redis: Redis) -> None:
    assert seen(redis, part(), SILENT - 2).state == "working"
    assert seen(redis, part(), SILENT + 2).state == "silent"
    assert seen(redis, part(idle=IDLE + 1)).state == "idle"
    assert seen(redis, part(idle=IDLE - 10), SILENT - 2).state == "idle"


def test_a_wrong_clock_is_seen_and_changes_no_age(redis: Redis) -> None:
    found = seen(redis, part(now=part().now + 3_600 - 10), 10)
    assert abs(found.age - 10) < 1 and abs(found.ahead - 3_600) < 1


def test_a_part_that_stops_is_forgotten_and_others_stay(redis: Redis) -> None:
    parts.write(redis, part(pid=1))
    parts.write(redis, part(pid=2))
    parts.remove(redis, part(pid=1))
    assert [each.pid for each in parts.read(redis)] == [2]
    assert redis.zcard(INDEX) == 1 and len(redis.keys("{dt1}:part:*")) == 1


def test_a_part_that_was_killed_is_left_out_once_it_runs_again(redis: Redis) -> None:
    killed = part(pid=1)
    assert seen(redis, killed, SILENT + 2).state == "silent"
    parts.write(redis, part(pid=2, host="other", began=killed.began + 1))
    assert len(parts.read(redis)) == 2
    parts.write(redis, part(pid=3, began=killed.began + 1))
    assert [each.pid for each in parts.read(redis)] == [2, 3]


def test_what_has_ended_leaves_nothing(redis: Redis) -> None:
    parts.write(redis, part(pid=1))
    redis.delete(f"{{dt1}}:part:{part(pid=1).id}")  # as its end does
    assert parts.read(redis) == []
    redis.zadd(INDEX, {part(pid=1).id: 0})
    parts.write(redis, part(pid=2))
    assert redis.zrange(INDEX, 0, -1) == [part(pid=2).id.encode()]
    assert 0 < redis.ttl(INDEX) <= LIFE and 0 < redis.ttl(f"{{dt1}}:part:{part(pid=2).id}") <= LIFE


def test_what_cannot_be_read_is_left_out(redis: Redis) -> None:
    for pid, text in enumerate(["", "[]", "{}", '{"kind": "worker"}', "\xff"]):
        parts.write(redis, part(pid=pid))
        redis.set(f"{{dt1}}:part:{part(pid=pid).id}", text)
    parts.write(redis, part(pid=99))
    assert [each.pid for each in parts.read(redis)] == [99]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may stop."""
    server = Server(tmp_path).start()
    yield server
    server.kill()


def test_a_user_with_few_rights_may_do_it(own_server: Server) -> None:
    acl.make(own_server.client, acl.OF_STORE)
    redis = connect(acl.url(own_server), tries=1)
    assert seen(redis, part()).state == "working"
    parts.remove(redis, part())
    assert parts.read(redis) == []


def test_the_thread_goes_on_whatever_happens(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store hangs, then is away, and the function that it asks fails."""
    monkeypatch.setattr(heartbeat, "EVERY", 0.05)
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.2)
    calls = count()

    def idle() -> float:
        nonlocal asked
        asked = next(calls)
        if asked == 1:
            raise ZeroDivisionError
        return 0

    def waits_for_three(what: str) -> None:
        before = asked
        wait_for(lambda: asked > before + 3, f"heartbeats while the store {what}")

    asked = 0
    redis = own_server.client
    heartbeat.begin(load({"REDIS_URL": own_server.url}), "worker", "fetch", ["fetch"], idle)
    waits_for_three("answers")
    own_server.stop()
    waits_for_three("hangs")
    own_server.go_on()
    own_server.kill()
    waits_for_three("is away")
    own_server.start()
    redis.flushall()
    wait_for(lambda: [part.name for part in parts.read(redis)] == ["fetch"], "it is seen again")


@pytest.mark.slow  # a cluster of its own
def test_in_a_cluster(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=0) as cluster:
        redis = connect(cluster.url, tries=3)
        assert seen(redis, part()).state == "working"
        parts.remove(redis, part())
        assert parts.read(redis) == []
