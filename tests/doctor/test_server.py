"""Faults of the store, made for real: each is found, and the others are not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisError

from api import create_app
from tests.support import acl
from tests.support.disk import mounted
from tests.support.examined import examined, problems, states
from tests.support.redis_servers import APPEND, Cluster, Server
from tests.support.servers import free_port, wait_for
from tracker.settings import load

#: What is found of the store's servers.
CHECKS = ("store", "eviction", "append-only file", "store's disk", "store's memory")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server with options."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path, *options))
        return started[-1].start()

    yield start
    for each in started:
        each.kill()


def faults(url: str) -> dict[str, list[str]]:
    found = problems(examined(REDIS_URL=url))
    return {check: texts for check, texts in found.items() if check in CHECKS}


def test_a_good_store(start: Callable[..., Server]) -> None:
    found = states(examined(REDIS_URL=start(*APPEND).url))
    assert [found[check] for check in CHECKS] == ["ok"] * 5


def test_a_store_that_is_away(tmp_path: Path) -> None:
    [text] = faults(f"redis://127.0.0.1:{free_port()}/0")["store"]
    assert "Connection refused" in text


def test_a_store_that_hangs(start: Callable[..., Server]) -> None:
    server = start(*APPEND)
    server.stop()
    [text] = faults(server.url)["store"]
    assert "Timeout" in text


def test_a_wrong_password_is_not_shown(start: Callable[..., Server]) -> None:
    server = start(*APPEND)
    server.client.config_set("requirepass", "hunter2")
    found = examined(REDIS_URL=f"redis://:hunter3@127.0.0.1:{server.port}/0")
    assert problems(found)["store"] and "hunter" not in str(found)


def test_data_of_another_version(start: Callable[..., Server]) -> None:
    server = start(*APPEND)
    server.client.set("{dt1}:model", 99)
    [found] = examined(REDIS_URL=server.url)["store"]
    assert found.text == "it cannot be used" and "version 99" in found.advice


def test_an_empty_server_stays_empty(start: Callable[..., Server]) -> None:
    server = start(*APPEND)
    examined(REDIS_URL=server.url)
    assert server.client.keys("*") == []


def test_a_replica(start: Callable[..., Server]) -> None:
    server, master = start(*APPEND), start(*APPEND)
    server.follow(master.port)
    [text] = faults(server.url)["store"]
    assert "this is a replica" in text


def test_a_server_that_drops_data(start: Callable[..., Server]) -> None:
    assert [*faults(start(*APPEND, "--maxmemory-policy", "allkeys-lru").url)] == ["eviction"]
    assert [*faults(start(*APPEND, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb").url)] == ["eviction"]


def test_a_server_without_an_append_only_file(start: Callable[..., Server]) -> None:
    assert [*faults(start("--save", "").url)] == ["append-only file"]


def test_a_server_that_is_nearly_full(start: Callable[..., Server]) -> None:
    server = start(*APPEND, "--maxmemory", "8mb")
    assert faults(server.url) == {}
    number = 0
    while server.client.info("memory")["used_memory"] < 0.93 * (8 << 20):
        number += 1
        server.client.set(f"filler {number}", bytes(50_000))
    assert [*faults(server.url)] == ["store's memory"]


@pytest.mark.slow
def test_a_server_whose_disk_is_full(tmp_path: Path) -> None:
    with mounted(tmp_path, megabytes=24) as disk:
        server = Server(tmp_path, *APPEND).start()
        try:
            disk.fill()
            wait_for(lambda: refuses(server.client), "it refuses writes")
            assert faults(server.url) == {
                "store's disk": [f"{server.url}: its last write to the append-only file failed"]
            }
            assert examined(REDIS_URL=server.url, SOURCES="kraken").keys() > {"sources", "backlog"}  # it has a budget
            [here] = problems(examined(REDIS_URL=server.url, DATA_DIR=str(tmp_path)))["disk"]
            assert here.startswith("0 MB are free")
            assert create_app(load({"REDIS_URL": server.url})).test_client().get("/v1/alerts").status_code == 200
        finally:
            server.kill()


def refuses(redis: Redis) -> bool:
    try:
        redis.set("filler", bytes(1 << 14))
    except RedisError:
        return True
    return False


def test_a_user_with_few_rights_can_ask_all(start: Callable[..., Server]) -> None:
    server = start(*APPEND)
    acl.make(server.client, acl.OF_STORE)
    found = states(examined(REDIS_URL=acl.url(server)))
    assert [found[check] for check in CHECKS] == ["ok"] * 5


def test_what_a_user_may_not_ask_is_no_problem(start: Callable[..., Server]) -> None:
    server = start("--save", "")
    acl.make(server.client, [*acl.OF_STORE, "-info"])
    found = examined(REDIS_URL=acl.url(server))
    [unknown] = found["store"]
    assert unknown.state == "unknown" and "info" in unknown.text
    assert not found.keys() & set(CHECKS[1:])


@pytest.mark.slow
def test_one_server_of_a_cluster(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=0) as cluster:
        assert faults(cluster.url) == {}
        bad = cluster.servers[1]
        bad.client.config_set("appendonly", "no")
        [text] = faults(cluster.url)["append-only file"]
        assert f"(port {bad.port})" in text
