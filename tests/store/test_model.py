"""A store with data of another version is refused, and the data of version 1 is brought to this one."""

import subprocess
import sys

import pytest
from redis import Redis

from tests.support.servers import StoreServer
from tests.support.stack import CLEAN, ROOT
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.store import model
from tracker.store.keeper import Guard


def test_the_version_is_noted_in_a_store_without_data(redis: Redis) -> None:
    assert model.stored(redis) is None
    model.check(redis)
    model.check(redis)
    assert model.stored(redis) == model.VERSION


def test_data_of_another_version_is_refused_and_what_to_do_is_said(redis: Redis) -> None:
    redis.set("dt1:version", 7)
    with pytest.raises(SettingsError, match=r"data of version 1, expected 2: .*store upgrade"):
        model.check(redis)
    redis.delete("dt1:version")
    redis.set(model.MODEL, 3)
    with pytest.raises(SettingsError, match="data of version 3, expected 2: this part is older"):
        model.check(redis)
    with pytest.raises(SettingsError, match="this part is older"):
        model.upgrade(redis)


def test_an_upgrade_keeps_all_data_and_may_be_interrupted(redis: Redis) -> None:
    redis.set("dt1:version", 7)
    redis.set("dt1:ring:kraken:btcusd", b"samples")
    redis.set("dt1:fired:jump:x", "old", ex=1_000)
    redis.set("{dt1}:fired:jump:x", "new")
    redis.hset("dt1:keys", "a", "key")
    redis.lpush("fetch", "a task")
    assert model.upgrade(redis) == 3
    assert sorted(redis.keys()) == sorted(
        [b"{dt1}:version", b"dt1:ring:kraken:btcusd", b"{dt1}:fired:jump:x", b"{dt1}:keys", b"fetch", b"{dt1}:model"]
    )
    assert redis.get("{dt1}:fired:jump:x") == b"new"
    assert redis.hgetall("{dt1}:keys") == {b"a": b"key"}
    assert model.upgrade(redis) == 0


@pytest.mark.slow
def test_the_command_upgrades_a_store(redis: Redis, store_server: StoreServer) -> None:
    redis.set("dt1:version", 7)
    command = [sys.executable, "-m", "tracker", "store", "upgrade"]
    for renamed in (1, 0):
        done = subprocess.run(
            command, cwd=ROOT, env=CLEAN | {"REDIS_URL": store_server.url}, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"the data is of version 2: {renamed} keys have new names\n"
    assert redis.get("{dt1}:version") == b"7"


def test_the_embedded_store_upgrades_its_data_at_its_start(tmp_path) -> None:
    with StoreServer(tmp_path) as server, Redis.from_url(server.url) as redis:
        redis.set("dt1:version", 7)
        guard = Guard(load(server.variables))
        assert guard._upgrade()
        assert redis.get("{dt1}:version") == b"7"
        redis.set(model.MODEL, 3)
        assert not guard._upgrade()
