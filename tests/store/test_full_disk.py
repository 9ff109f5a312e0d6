"""The embedded store survives a full disk: it goes on once there is room, and keeps all that it acknowledged."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis, RedisError

from tests.support.disk import Disk, mounted
from tests.support.guarded_store import Guarded, at_any_moment
from tests.support.servers import wait_for
from tests.support.stack import alive
from tracker.store import aof

pytestmark = pytest.mark.slow  # starts processes


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path, megabytes=24) as disk:
        yield disk


def write(redis: Redis, rng: random.Random, number: int) -> bool:
    """Writes as workers do: a ring, a table and a transaction. Returns whether the server acknowledged it."""
    with suppress(RedisError):
        redis.setrange(f"dt1:ring:k:{number % 50}", rng.randrange(1_000) * 18, rng.randbytes(rng.randrange(18, 9_000)))
        with redis.pipeline(transaction=True) as pipe:
            pipe.hset("first", str(number), rng.random())
            pipe.hset("second", str(number), rng.random())
            pipe.execute()
        return True
    return False


def outage(guarded: Guarded, disk: Disk, rng: random.Random) -> tuple[float, int]:
    """Fills the disk and kills the store or its guard. Returns (seconds until a write works, acknowledged writes)."""
    guarded.rewrite()
    guarded.redis.delete("first", "second")
    acknowledged = sum(write(guarded.redis, rng, number) for number in range(rng.randrange(50, 200)))
    full_when_killed = rng.random() < 0.3
    for again in range(rng.randrange(1, 4)):  # the error comes again
        disk.fill()
        number = 1_000 * (again + 1)
        while write(guarded.redis, rng, number) or guarded.persistence("aof_last_write_status") == "ok":
            number += 1
        at_any_moment(rng, 0.3)
        if not full_when_killed:
            disk.free()
            until = time.monotonic() + rng.uniform(0, 1.5)
            for _ in range(500):  # no more than the disk has room for
                if time.monotonic() < until:
                    write(guarded.redis, rng, number := number + 1)
    assert guarded.process
    server = guarded.server
    victim = server if rng.random() < 0.7 else psutil.Process(guarded.process.pid)
    victim.kill()
    if full_when_killed:
        at_any_moment(rng, 0.5)
    disk.free()
    began = time.monotonic()
    guarded.process.wait(30)
    wait_for(lambda: not alive([server]), "the server is gone")
    wait_for(guarded.keep_up, "it can be written to again", 30)
    return time.monotonic() - began, acknowledged


def assert_recovered(guarded: Guarded, acknowledged: int) -> None:
    first, second = guarded.redis.hgetall("first"), guarded.redis.hgetall("second")
    assert {str(number).encode() for number in range(acknowledged)} <= first.keys()
    assert first.keys() == second.keys()  # no half of a transaction


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("OUTAGES", "1 2 3").split()])
def test_a_full_disk_and_a_kill_are_recovered_from(disk: Disk, seed: int) -> None:
    with Guarded(disk.folder) as guarded:
        seconds, acknowledged = outage(guarded, disk, random.Random(seed))
        assert_recovered(guarded, acknowledged)
        print(f"outage {seed}: {seconds:.2f} s, mended: {bool(aof.kept_sets(guarded.folder))}")


def test_after_a_write_error_the_file_is_made_anew_as_often_as_it_takes(disk: Disk) -> None:
    with Guarded(disk.folder) as guarded:
        guarded.rewrite()
        words = "the store's file was rewritten and is good"
        for times in (1, 2):
            guarded.redis.set("before", times)
            disk.fill()
            wait_for(lambda: not set_big(guarded.redis), "a write fails")
            disk.free()
            wait_for(lambda times=times: guarded.log.read_text().count(words) == times, "it is rewritten")
            assert aof.intact(guarded.files)
        guarded.server.kill()
        wait_for(guarded.keep_up, "it is back")
        assert guarded.redis.get("before") == b"2"
        assert not aof.kept_sets(guarded.folder)  # nothing had to be mended


def set_big(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.set("big", random.randbytes(50_000)))
    return False
