"""The store in a real cluster: keys that move, servers that fail, and the same answers as from one server."""

import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.support.redis_servers import Cluster, Server, Servers
from tests.support.servers import wait_for
from tracker.errors import StoreError
from tracker.models import Market
from tracker.series.ring import Ring
from tracker.store.cluster import Topology
from tracker.store.connection import PREFIX, connect, topology_of, transact
from tracker.store.pipelines import pipeline
from tracker.store.series import Store

pytestmark = pytest.mark.slow

NOW = 1_700_000_030.0
SLOT = 1_700_000_000 // 60 * 60
IDS = [f"x:market{number}" for number in range(60)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def redis(cluster: Cluster) -> Iterator[Redis]:
    wait_for(cluster.ready, "the cluster is whole")
    for server in cluster.servers:
        if server.client.info("replication")["role"] == "master":
            server.client.flushall()
    with connect(cluster.url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store(redis, Ring(60))


def fill(store: Store, ids: list[str] = IDS, value: float = 1.0) -> None:
    for place, id in enumerate(ids):
        store.write("x", id, np.array([SLOT - 60, SLOT]), np.array([[value + place, 1], [value + place, 2]]), NOW, True)


def newest(store: Store, ids: list[str] = IDS) -> list[float]:
    values, _ = store.windows(ids, NOW)
    return [float(each) for each in values[0, :, -1]]


def test_rings_are_spread_and_everything_else_is_on_one_server(cluster: Cluster, store: Store) -> None:
    fill(store)
    store.watch("x", [Market(id, "a", "b", "") for id in IDS])
    keys = {server.port: set(server.client.keys()) for server in cluster.servers if is_master(server)}
    assert all(any(key.startswith(b"dt1:ring:") for key in held) for held in keys.values())
    [shared] = [port for port, held in keys.items() if any(key.startswith(b"{dt1}:") for key in held)]
    assert shared == cluster.owner(PREFIX).port
    assert sum(len(held) for held in keys.values()) == len(IDS) + 5  # watch list, version, status, two sets of times


def is_master(server: Server) -> bool:
    return bool(server.client.info("replication")["role"] == "master")


def test_what_is_asked_of_many_servers_comes_back_in_order(store: Store) -> None:
    fill(store)
    assert newest(store) == [1.0 + place for place in range(len(IDS))]
    assert store.answered([*IDS, "x:none"]) == len(IDS)
    chunks = [windows[0][0, :, -1] for _, windows in store.walk(IDS, NOW, 7)]
    assert np.concatenate(chunks).tolist() == newest(store)


def test_an_error_of_one_command_is_raised_and_the_next_batch_is_good(redis: Redis, store: Store) -> None:
    fill(store)
    raw = pipeline(redis)
    with pytest.raises(StoreError, match="WRONGTYPE"):
        raw.ask([("GET", "dt1:ring:x:market1"), ("HGET", "dt1:ring:x:market2", "a")])
    assert newest(store) == [1.0 + place for place in range(len(IDS))]


def test_a_transaction_changes_several_keys(redis: Redis) -> None:
    def work(pipe: object) -> str:
        before = pipe.get("{dt1}:a")
        pipe.multi()
        pipe.set("{dt1}:a", "1").set("{dt1}:b", "2")
        return before

    assert transact(redis, work, "{dt1}:a") is None
    assert transact(redis, work, "{dt1}:a") == b"1"
    assert redis.mget("{dt1}:a", "{dt1}:b") == [b"1", b"2"]


@pytest.mark.parametrize("key", ["dt1:ring:x:market1", PREFIX])
def test_a_key_is_followed_while_its_slot_moves_to_another_server(cluster: Cluster, store: Store, key: str) -> None:
    """Reads and writes it before, during (ASK) and after (MOVED) the move."""
    fill(store)
    store.claim("x", SLOT, "me", 600)
    source, slot = cluster.owner(key), key_slot(key.encode())
    target = next(server for server in cluster.servers if is_master(server) and server is not source)
    names = [server.client.execute_command("CLUSTER MYID").decode() for server in (source, target)]
    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
    moved = source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1_000)
    mover = threading.Thread(target=finish_move, args=(source, target, slot, moved, names[1]))
    if key == PREFIX:  # its client waits until the move is over
        mover.start()
    else:
        source.client.migrate("127.0.0.1", target.port, moved, 0, 5_000)
        fill(store, IDS[:3], 5.0)
        assert newest(store, IDS[:3]) == [5.0, 6.0, 7.0]
        mover.start()
    fill(store, value=9.0)
    assert newest(store) == [9.0 + place for place in range(len(IDS))]
    assert store.claim("x", SLOT, "me", 600) and not store.claim("x", SLOT, "another", 600)
    mover.join()
    assert newest(store) == [9.0 + place for place in range(len(IDS))]
    assert cluster.owner(key) is target


def finish_move(source: Server, target: Server, slot: int, keys: list[bytes], name: str) -> None:
    source.client.migrate("127.0.0.1", target.port, keys, 0, 5_000, replace=True)
    for server in (target, source):
        server.client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)


def test_a_killed_server_is_replaced_and_the_others_go_on_at_once(cluster: Cluster, redis: Redis, store: Store) -> None:
    fill(store)
    victim = cluster.owner("dt1:ring:x:market1")
    near = [id for id in IDS if cluster.owner(f"dt1:ring:{id}") is not victim]
    with connect(cluster.url, tries=1, patience=1, pause=60) as impatient:
        quick = Store(impatient, Ring(60))
        assert newest(quick) == newest(store)
        victim.kill()
        with pytest.raises(StoreError):
            newest(quick)
        if victim is not cluster.owner(PREFIX):
            assert newest(quick, near) == [1.0 + IDS.index(id) for id in near]
    began = time.monotonic()
    fill(store, value=3.0)  # waits for the replica
    assert newest(store) == [3.0 + place for place in range(len(IDS))]
    assert time.monotonic() - began < 15
    victim.start()


def test_no_server_is_there(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=0) as gone:
        url = gone.url
    with connect(url, tries=1, patience=1) as redis:
        with pytest.raises(StoreError, match="no server of the cluster tells who has which keys"):
            Store(redis, Ring(60)).claim("x", SLOT, "me", 600)
        with pytest.raises(StoreError, match="no server of the cluster tells who has which keys"):
            Store(redis, Ring(60)).windows(IDS, NOW)


def test_a_thread_of_a_fork_or_of_its_own_has_its_own_connections(store: Store) -> None:
    fill(store)
    found: list[list[float]] = []
    threads = [threading.Thread(target=lambda: found.append(newest(store))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [newest(store)] * 4


def test_who_has_which_keys_is_asked_again_when_a_server_is_away(cluster: Cluster, redis: Redis) -> None:
    topology = topology_of(redis)
    nodes = topology.nodes()
    assert len(nodes) == cluster.shards
    topology.forget()
    assert sorted(topology.nodes()) == sorted(nodes)


def test_a_cluster_that_is_made_later_is_found(tmp_path: Path) -> None:
    """Its servers are there, but have no keys yet."""
    cluster = Cluster(tmp_path, replicas=0)
    Servers.start(cluster)
    try:
        with connect(cluster.url, tries=1, patience=2) as redis:
            with pytest.raises(StoreError, match="no server that has keys"):
                Store(redis, Ring(60)).claim("x", SLOT, "me", 600)
            cluster.form()
            assert Store(redis, Ring(60)).claim("x", SLOT, "me", 600)
            fill(Store(redis, Ring(60)))
    finally:
        cluster.kill()


def test_one_silent_server_holds_up_no_question_about_the_others(cluster: Cluster, redis: Redis) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as silent:  # accepts nothing
        hosts = ((("127.0.0.1", silent.server_address[1])), ("127.0.0.1", cluster.servers[0].port))
        topology = Topology(hosts, lambda: {"socket_timeout": 60, "socket_connect_timeout": 60}, Retry(NoBackoff(), 0))
        for _ in range(6):
            topology.forget()
            assert len(topology.nodes()) == cluster.shards
