"""The store over TLS, with an authority of its own and client certificates: one server, sentinels, a cluster.

The embedded server speaks no TLS, so these are Debian's Redis.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.support.redis_servers import APPEND, Server
from tests.support.servers import free_port, wait_for
from tests.support.tls import Certificates
from tracker.errors import StoreError
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.store.connection import connect
from tracker.store.series import Store
from tracker.store.suitable import check

pytestmark = [pytest.mark.slow, pytest.mark.program("redis-server"), pytest.mark.program("openssl")]

NOW = 1_700_000_030.0
SLOT = 1_700_000_000 // 60 * 60
IDS = [f"x:market{number}" for number in range(9)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Encrypted(Server):
    """A server that takes connections with TLS and a certificate only."""

    program = "redis-server"

    def __init__(self, folder: Path, certificates: Certificates, *options: str, configuration: str = ""):
        super().__init__(folder, configuration=configuration)
        self.certificates = certificates
        self.options = (
            "--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(certificates.certificate),
            "--tls-key-file", str(certificates.key), "--tls-ca-cert-file", str(certificates.authority),
            "--tls-replication", "yes", "--tls-cluster", "yes", *options,
        )  # fmt: skip

    @property
    def client(self) -> Redis:
        files = self.certificates
        return Redis(
            port=self.port, socket_timeout=5, ssl=True, ssl_ca_certs=str(files.authority),
            ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key),
        )  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, certificates: Certificates) -> Iterator[Callable[..., Encrypted]]:
    """Starts a server with options."""
    with ExitStack() as started:

        def start(*options: str, configuration: str = "") -> Encrypted:
            server = Encrypted(tmp_path, certificates, *options, configuration=configuration)
            started.callback(server.kill)
            return server.start()

        yield start


def assert_is_a_store(url: str) -> None:
    assert check(load({"REDIS_URL": url})) == []
    with connect(url, tries=2, patience=5) as redis:
        store = Store(redis, Ring(60))
        for place, id in enumerate(IDS):
            store.write("x", id, np.array([SLOT]), np.array([[place, 1.0]]), NOW, True)
        assert store.windows(IDS, NOW).values[0, :, -1].tolist() == [*range(len(IDS))]
        assert store.claim("x", SLOT, "me", 60)


def test_one_server_is_reached_with_its_authority_only(
    start: Callable[..., Encrypted], certificates: Certificates
) -> None:
    url = f"rediss://127.0.0.1:{start(*APPEND).port}/0"
    assert_is_a_store(f"{url}?{certificates.options}")
    with connect(url, tries=1) as redis, pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
        Store(redis, Ring(60)).version()


def test_sentinels_and_the_master_that_they_name(start: Callable[..., Encrypted], certificates: Certificates) -> None:
    master = start(*APPEND)
    sentinel = start("--sentinel", configuration=f"sentinel monitor m 127.0.0.1 {master.port} 1\n")
    url = f"rediss+sentinel://127.0.0.1:{sentinel.port}/0?master=m&{certificates.options}"
    with connect(url, tries=1) as redis:
        wait_for(lambda: answers(Store(redis, Ring(60))), "the sentinel knows the master")
    assert_is_a_store(url)


def answers(store: Store) -> bool:
    try:
        return bool(store.version() is not None)
    except StoreError:
        return False


def test_a_cluster(start: Callable[..., Encrypted], certificates: Certificates) -> None:
    buses = [free_port(), free_port()]
    nodes = [start(*APPEND, "--cluster-enabled", "yes", "--cluster-port", str(bus)) for bus in buses]
    nodes[1].client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, buses[0])
    for node, edges in zip(nodes, ((0, 8_000), (8_001, 16_383)), strict=True):
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", *edges)
    whole = lambda node: node.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"  # noqa: E731
    wait_for(lambda: all(map(whole, nodes)), "the cluster is ready")
    assert_is_a_store(f"rediss+cluster://127.0.0.1:{nodes[0].port}?{certificates.options}")
