"""A server of the store is killed while data flows. A replica takes its place, and nothing stays lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.redis_servers import Cluster, Replicated, Standalone
from tests.support.servers import wait_for
from tests.support.truth import assert_complete, expected
from tracker.clock import Clock
from tracker.models import Metric
from tracker.series.ring import Ring
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.connection import PREFIX, RINGS, connect
from tracker.store.series import Store

pytestmark = pytest.mark.slow

FEED = Generated(seed=7, markets=12, exchanges=2)
MARKETS = [f"{listing.exchange}:{listing.pair}" for listing in FEED.markets]


class Running:
    """A beat and a worker on the store at ``url`` and on the broker at ``broker``, with an exchange."""

    def __init__(self, folder: Path, url: str, broker: str):
        with ExitStack() as stack:
            exchange = stack.enter_context(Exchange(create_app(FEED, Clock())))
            parts = stack.enter_context(
                Parts(folder, REDIS_URL=url, BROKER_URL=broker, SIMULATOR_URL=exchange.url, INTERVAL="1",
                      WORKER_POOL="threads", MARKETS_PER_TASK="2", DATA_DIR=str(folder / "data"))
            )  # fmt: skip
            self.worker = parts.start("worker", "--concurrency", "8", prompt="ready.")
            self.beat = parts.start("beat", prompt="beat: Starting")
            self.store = Store(stack.enter_context(connect(url)), Ring())
            wait_for(lambda: len(self.store.ranking("price")) == len(MARKETS), "every market is ranked", 60)
            self._stack = stack.pop_all()

    def evaluated_since(self, moment: float, markets: list[str]) -> bool:
        """Whether each of ``markets`` was fetched and evaluated after ``moment``."""
        standings = [self.store.standing(Metric(market, "price")) for market in markets]
        return all(standing and standing.summary.at > moment for standing in standings)

    def assert_right(self) -> None:
        """Every slot is right, every market goes on, and the ranks are those of numpy. No process has ended."""
        wait_for(lambda: self.evaluated_since(time.time() - 3, MARKETS), "every market goes on", 60)
        assert_complete(self.store, FEED)
        for field in ("price", "volume"):
            wait_for(lambda field=field: self.store.ranking(field) == order(field), f"the ranks of {field}")
        assert [part.status for part in (self.worker, self.beat)] == ["running", "running"]

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def order(field: str) -> list[str]:
    """The metrics of ``field``, the most volatile of the last 24 closed hours first."""
    slots = Ring().slots(time.time()).tolist()[:-1]
    column = ("price", "volume").index(field)
    deviations = {}
    for listing in FEED.markets:
        values = np.array(expected(FEED, listing.exchange, listing.pair, slots))[:, column]
        deviations[f"{listing.exchange}:{listing.pair}:{field}"] = np.nanstd(values)
    return sorted(deviations, key=lambda id: deviations[id], reverse=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Standalone]:
    with Standalone(tmp_path / "broker") as server:
        yield server


def test_a_shard_is_killed_and_other_markets_do_not_wait_for_its_replica(tmp_path: Path, broker: Standalone) -> None:
    with Cluster(tmp_path, silent=10_000) as cluster, Running(tmp_path, cluster.url, broker.url) as running:
        shared = cluster.owner(PREFIX)
        victim = next(server for server in cluster.servers[: cluster.shards] if server is not shared)
        near = [market for market in MARKETS if cluster.owner(f"{RINGS}{market}") is not victim]
        far = [market for market in MARKETS if market not in near]
        assert near and far
        victim.kill()
        killed = time.time()
        wait_for(lambda: running.evaluated_since(killed + 2, near), "the markets of the other servers go on")
        assert cluster.owner(f"{RINGS}{far[0]}") is victim, "its replica was faster than the check"
        wait_for(lambda: running.evaluated_since(killed, far), "the replica has taken over", 60)
        print(f"its markets go on {time.time() - killed:.1f} s after the kill")
        running.assert_right()
        victim.start()
        wait_for(cluster.ready, "it follows its replica")
        running.assert_right()


def test_the_shard_of_all_shared_keys_is_killed(tmp_path: Path, broker: Standalone) -> None:
    with Cluster(tmp_path) as cluster, Running(tmp_path, cluster.url, broker.url) as running:
        victim = cluster.owner(PREFIX)
        victim.kill()
        killed = time.time()
        wait_for(lambda: cluster.owner(PREFIX) is not victim, "its replica takes over")
        running.assert_right()
        print(f"all is right {time.time() - killed:.1f} s after the kill")


def test_a_master_is_killed_and_the_sentinels_name_another(tmp_path: Path) -> None:
    """It is the store and the broker in one."""
    with Replicated(tmp_path) as servers, Running(tmp_path, servers.url, "") as running:
        victim = servers.master
        victim.kill()
        killed = time.time()
        wait_for(lambda: servers.master is not victim, "the replica is the master")
        running.assert_right()
        print(f"all is right {time.time() - killed:.1f} s after the kill")
        victim.start()
        wait_for(lambda: victim.client.info("replication")["role"] == "slave", "it follows the new master", 60)
        running.assert_right()
