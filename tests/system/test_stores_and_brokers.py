"""Beat, workers and API on every kind of store with every kind of broker: series, ranks, alerts and notices are right.

Each replays the same real candles at 20 x speed. The expected values come from the files, see candle_books.py.
The three brokers run side by side, each with a store of its own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from kombu import Connection

from tests.support.rabbitmq import RabbitMQ
from tests.support.redis_servers import Cluster, Replicated, Standalone
from tests.support.replayed import Replayed

pytestmark = [pytest.mark.slow, pytest.mark.program("rabbitmq-server")]


def replicated(folder: Path) -> Replicated:
    return Replicated(folder, replicas=0, sentinels=1)


def cluster(folder: Path) -> Cluster:
    return Cluster(folder, replicas=0)


STORES = {"standalone": Standalone, "sentinel": replicated, "cluster": cluster}


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def brokers(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[dict[str, str]]:
    """The URL of an empty broker of each kind."""
    with Standalone(tmp_path / "redis") as redis, replicated(tmp_path / "sentinel") as sentinel:
        yield {"redis": redis.url, "sentinel": sentinel.url, "rabbitmq": rabbitmq.url}
    with Connection(rabbitmq.url) as connection:
        for queue in ("fetch", "evaluate", "notify"):
            connection.default_channel.queue_purge(queue)


@pytest.mark.parametrize("kind", STORES)
def test_everything_is_right_on_each_broker_with(kind: str, tmp_path: Path, brokers: dict[str, str]) -> None:
    with ExitStack() as servers, ThreadPoolExecutor(len(brokers)) as threads:
        trackers = []
        for name, url in brokers.items():
            store = servers.enter_context(STORES[kind](tmp_path / f"store-{name}"))
            trackers.append(Replayed(tmp_path / f"tracker-{name}", store.url, url))
        for run in [threads.submit(tracker.run) for tracker in trackers]:
            run.result()
