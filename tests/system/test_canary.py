"""The canary through real beats and workers, and what a real receiver hears of it. A round takes 7.5 s here, not 60."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.exchange import Exchange
from tests.support.http_server import HttpServer
from tests.support.parts import Parts
from tests.support.processes import LocalProcess
from tests.support.servers import StoreServer, free_port, wait_for
from tracker.clock import Clock
from tracker.commands.parts import QUEUES
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.connection import connect

pytestmark = pytest.mark.slow  # whole workers and beats

FEED = Generated(seed=7, markets=6, exchanges=1)
SPEED = 8
#: The receiver's URL has a secret in its path, as healthchecks.io's has.
PATH = "/ping/5c0ffee5"
PASSED, BEGAN, FAILED = PATH, f"{PATH}/start", f"{PATH}/fail"
#: Where a store may know of the canary.
KEYS = ("{dt1}:canary", "dt1:ring:canary:beat", "{dt1}:tick:canary", "{dt1}:status:canary", "{dt1}:asked:canary",
        "{dt1}:answered:canary")  # fmt: skip


class System:
    """A beat and a worker for each queue. The receiver takes every ping until it is told otherwise."""

    def __init__(self, parts: Parts, exchange: Exchange, receiver: HttpServer):
        self.parts, self.exchange, self.receiver = parts, exchange, receiver
        receiver.says(b"OK")
        self.workers = {queue: self.work(queue) for queue in QUEUES}
        self.beats = [parts.start("beat", prompt="beat: Starting") for _ in range(2)]

    def work(self, queue: str) -> LocalProcess:
        return self.parts.start("worker", queue, "--concurrency", "1", prompt="ready.")

    def heard(self, path: str) -> list[str]:
        """The bodies of the pings to ``path``."""
        return [post.body.decode() for post in list(self.receiver.posts) if post.path == path]

    def hears(self, path: str, times: int = 1) -> None:
        before = len(self.heard(path))
        wait_for(lambda: len(self.heard(path)) >= before + times, f"the receiver hears {path}", 60)


@contextmanager
def running(folder: Path, store: StoreServer) -> Iterator[System]:
    start = time.time()
    with HttpServer() as receiver, Exchange(create_app(FEED, Clock(start, SPEED))) as exchange:
        variables = {
            "REDIS_URL": store.url, "DATA_DIR": str(folder), "SIMULATOR_URL": exchange.url, "INTERVAL": "12",
            "CLOCK_START": f"{start:.3f}", "CLOCK_SPEED": str(SPEED), "HEARTBEAT_URL": receiver.url + PATH,
            "METRICS_PORT": str(free_port()),
        }  # fmt: skip
        with Parts(folder, **variables) as parts:
            yield System(parts, exchange, receiver)


def test_the_receiver_hears_what_the_canary_did(tmp_path: Path, store_server: StoreServer) -> None:
    with running(tmp_path, store_server) as system:
        system.hears(PASSED, 2)
        assert [post.path for post in system.receiver.posts[:2]] == [BEGAN, PASSED]
        assert abs(len(system.heard(BEGAN)) - len(system.heard(PASSED))) <= 1  # although there are two beats
        assert not system.heard(FAILED)

        # The queue fetch has no worker: two intervals later at most the receiver hears of it, and of no success.
        system.workers["fetch"].process.kill()
        system.workers["fetch"].process.wait()
        system.hears(BEGAN)
        passed = len(system.heard(PASSED))
        system.hears(FAILED)
        assert system.heard(FAILED) == ["the last round did not reach the stage fetch in 60 s"]
        assert len(system.heard(PASSED)) == passed
        system.work("fetch")
        system.hears(PASSED)

        # A receiver that hangs holds nothing up: the fetches of all markets go on, and so do the ticks.
        system.receiver.answer = system.receiver.hang
        system.hears(BEGAN)
        asked = system.exchange.asked.total()
        system.hears(BEGAN, 2)
        assert system.exchange.asked.total() >= asked + 2 * len(FEED.markets)
        system.receiver.says(b"OK")
        system.hears(PASSED)

        # Nobody else sees its market, and no log has the secret.
        redis = connect(store_server.url)
        known = [key.decode() for key in redis.scan_iter("*canary*")]
        assert known and [key for key in known if not key.startswith(KEYS)] == []
        for key in (b"{dt1}:rank:price", b"{dt1}:cv:price", b"{dt1}:due"):
            assert not [name for name in redis.zrange(key, 0, -1) if b"canary" in name]
        assert not [name for name in redis.hkeys("{dt1}:summary:price") if b"canary" in name]
        for part in system.parts.started:
            assert "5c0ffee5" not in part.logs()
