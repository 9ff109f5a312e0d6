"""A server that cannot be the store is refused in one line, and a risk is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_servers import APPEND, Cluster, Replicated, Server
from tests.support.servers import free_port
from tracker.errors import SettingsError, StoreError
from tracker.settings import load
from tracker.store.connection import connect
from tracker.store.copy import UNFINISHED
from tracker.store.suitable import check, check_if_there

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with Replicated(tmp_path_factory.mktemp("replicated")) as servers:
        yield servers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), replicas=0) as servers:
        yield servers


def refusal(url: str) -> str:
    with pytest.raises(SettingsError) as error:
        check(load({"REDIS_URL": url}))
    text = str(error.value)
    assert text.startswith("REDIS_URL=redis") and "expected" in text and "\n" not in text
    return text


def test_every_kind_of_good_store_is_taken(replicated: Replicated, cluster: Cluster) -> None:
    for url in (f"redis://127.0.0.1:{replicated.data[0].port}", replicated.url, cluster.url):
        assert check(load({"REDIS_URL": url})) == []


def test_the_address_of_a_sentinel_is_not_that_of_the_store(replicated: Replicated) -> None:
    assert "this is a sentinel" in refusal(f"redis://127.0.0.1:{replicated.sentinels[0].port}")


def test_a_replica_is_refused(replicated: Replicated) -> None:
    assert "this is a replica" in refusal(f"redis://127.0.0.1:{replicated.data[1].port}")


def test_a_node_of_a_cluster_is_no_server_of_its_own(cluster: Cluster) -> None:
    assert "this is a node of a cluster" in refusal(f"redis://127.0.0.1:{cluster.servers[0].port}")


def test_a_server_of_its_own_is_no_cluster(replicated: Replicated) -> None:
    assert "a node of a cluster, this is one server" in refusal(f"redis+cluster://127.0.0.1:{replicated.data[0].port}")


def test_sentinels_that_do_not_know_the_master_say_so(replicated: Replicated) -> None:
    with pytest.raises(StoreError, match="No master found for 'other'"):
        check(load({"REDIS_URL": replicated.url.replace("=tracker", "=other")}))


def test_a_server_that_drops_data_when_it_is_full_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, *APPEND, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru").start()
    try:
        assert "noeviction, it is allkeys-lru" in refusal(f"redis://127.0.0.1:{server.port}")
    finally:
        server.kill()


def test_what_is_a_risk_is_told_and_taken(tmp_path: Path) -> None:
    server = Server(tmp_path, "--save", "", "--maxmemory-policy", "volatile-ttl", "--requirepass", "hunter2").start()
    try:
        told = check(load({"REDIS_URL": f"redis://:hunter2@127.0.0.1:{server.port}"}))
        assert len(told) == 2 and "append-only" in told[0] and "noeviction" in told[1]
        assert not any("hunter2" in each for each in told)
    finally:
        server.kill()


def test_a_part_waits_for_a_store_that_is_away() -> None:
    settings = load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}"})
    assert check_if_there(settings) == []
    with pytest.raises(StoreError):
        check(settings)


def test_a_copy_that_was_not_finished_is_refused(cluster: Cluster) -> None:
    with connect(cluster.url) as redis:
        redis.set(UNFINISHED, "")
        with pytest.raises(
            SettingsError, match="a copy that is not finished: run `python -m tracker store copy` again"
        ):
            check(load({"REDIS_URL": cluster.url}))
        redis.delete(UNFINISHED)
