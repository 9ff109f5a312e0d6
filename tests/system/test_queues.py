"""What waits in the queues of each broker, and since when, while no worker runs and after one came."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import StoreServer, wait_for
from tracker.clock import Clock
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.queues import TAKEN, Queues, read


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.program("rabbitmq-server"))])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A URL for BROKER_URL; empty: the store."""
    with ExitStack() as servers:
        yield servers.enter_context(RabbitMQ(tmp_path / "rabbitmq")).url if request.param == "rabbitmq" else ""


def test_the_age_of_the_oldest_task_is_known_on_every_broker(
    tmp_path: Path, store_server: StoreServer, redis: Redis, broker: str
) -> None:
    def now() -> Queues:
        return read(redis, time.time())

    def drained() -> bool:
        found = now()
        return not found.waiting["fetch"].length and (found.seen_age or 0) < 6

    variables = {"REDIS_URL": store_server.url, "BROKER_URL": broker, "DATA_DIR": str(tmp_path), "INTERVAL": "5"}
    with (
        Exchange(create_app(Generated(markets=4, exchanges=2), Clock())) as exchange,
        Parts(tmp_path, SIMULATOR_URL=exchange.url, **variables) as parts,
    ):
        parts.start("beat", prompt="beat: Starting")
        wait_for(lambda: now().waiting.get("fetch", (0, 0))[0] > 1, "ticks wait")
        wait_for(lambda: now().waiting["fetch"].age > 6, "they grow old")
        assert now().seen_age < 6
        assert now().waiting["notify"] == (0, 0)
        began = time.time()
        parts.start("worker", prompt="ready.")
        wait_for(drained, "the worker has taken all")
        wait_for(lambda: (redis.zscore(TAKEN, "fetch") or 0) > began, "what was published meanwhile was taken")
        wait_for(lambda: (redis.zscore(TAKEN, "evaluate") or 0) > began, "on each queue")
        assert now().waiting["fetch"].age < 6
