"""Every worker, beat and API process is seen in the store as long as it runs, also after the store was away."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from tests.support.parts import Parts
from tests.support.redis_servers import APPEND, Server
from tests.support.servers import free_port, wait_for
from tracker.store import parts
from tracker.store.parts import Seen
from tracker.worker import alive

pytestmark = pytest.mark.slow

#: The parts that the test starts: kind, name, queues. An API has two processes.
API = ("api", "api", ())
ALL = [API, API, ("beat", "beat", ()), ("worker", "f", ("fetch",)), ("worker", "t", ("evaluate", "notify"))]


def shown(redis: Redis, wanted: Callable[[Seen], bool] = lambda part: True) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(part.kind, part.name, part.queues) for part in parts.read(redis) if wanted(part)]


def test_parts_are_seen_while_they_run_and_after_the_store_was_away(tmp_path: Path) -> None:
    server = Server(tmp_path, *APPEND).start()
    redis = server.client
    variables = {"REDIS_URL": server.url, "API_PORT": str(free_port()), "SIMULATOR_PORT": str(free_port())}
    try:
        with Parts(tmp_path, DATA_DIR=str(tmp_path), **variables) as running:
            beat = running.start("beat", prompt="beat: Starting")
            forks = running.start("worker", "fetch", "--name", "f", "-c", "2", prompt="ready.")
            running.environment["WORKER_POOL"] = "threads"
            threads = running.start("worker", "notify", "evaluate", "--name", "t", prompt="ready.")
            api = running.start("api", prompt="Started worker-2")
            wait_for(lambda: shown(redis, lambda part: part.state == "working") == ALL, "all parts are seen at work")

            server.kill()
            server.start()
            redis.flushall()
            wait_for(lambda: shown(redis) == ALL, "they are seen again")

            for part in (beat, forks, threads, api):
                part.kill(signal.SIGTERM)
            assert parts.read(redis) == []
    finally:
        server.kill()


def test_a_part_without_its_broker_is_seen_idle_until_the_broker_is_back(tmp_path: Path) -> None:
    store, broker = Server(tmp_path, *APPEND).start(), Server(tmp_path, *APPEND).start()
    variables = {"REDIS_URL": store.url, "BROKER_URL": broker.url, "DATA_DIR": str(tmp_path)}

    def idle() -> dict[str, bool]:
        """Kind -> whether it has done no work for two of its own looks."""
        return {part.kind: part.idle > 2 * alive.EVERY + 1 for part in parts.read(store.client)}

    try:
        with Parts(tmp_path, **variables) as running:
            running.start("beat", prompt="beat: Starting")
            running.start("worker", "fetch", "--concurrency", "1", prompt="ready.")
            wait_for(lambda: idle() == {"beat": False, "worker": False}, "both are at work")
            broker.kill()
            wait_for(lambda: idle() == {"beat": True, "worker": True}, "both are idle")
            broker.start()
            wait_for(lambda: idle() == {"beat": False, "worker": False}, "both are at work again")
    finally:
        store.kill()
        broker.kill()
