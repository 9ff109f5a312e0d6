"""A part with a clock that is wrong by two minutes stores right data and delays nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.servers import StoreServer, wait_for
from tests.support.truth import assert_complete
from tracker.clock import Clock
from tracker.series.ring import Ring
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.connection import connect
from tracker.store.series import Store

FEED = Generated(seed=7, markets=3, exchanges=1)
MARKETS = [f"{listing.exchange}:{listing.pair}" for listing in FEED.markets]
OFF = pytest.mark.parametrize("off", ["+120s", "-120s"])


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(create_app(FEED, Clock())) as exchange:
        yield exchange


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path) as server:
        yield server


@pytest.mark.program("faketime")
@OFF
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_clock_is_wrong_stores_what_is_right(
    tmp_path: Path, server: StoreServer, exchange: Exchange, pool: str, off: str
) -> None:
    variables = {"REDIS_URL": server.url, "SIMULATOR_URL": exchange.url, "WORKER_POOL": pool, "BUDGET": "1000/60"}
    with Parts(tmp_path, **variables) as parts, connect(server.url) as redis:
        worker = parts.start("worker", "--concurrency", "2", prompt="ready.", off=off)
        store, app = Store(redis, Ring()), Celery(broker=server.url)

        def send(countdown: float = 0) -> None:
            options = {"queue": "fetch", "expires": 30, "countdown": countdown}
            for each in MARKETS:
                app.send_task("tracker.tasks.fetch", ("simulator", [each]), **options)

        send()
        wait_for(lambda: len(store.ranking("price")) == len(MARKETS), "every market is ranked")
        asked = exchange.asked.total()
        send(countdown=1)  # like a task that must wait
        wait_for(lambda: exchange.asked.total() >= asked + len(MARKETS), "a countdown is no longer than it was", 25)
        assert_complete(store, FEED)
        spent = redis.lrange("{dt1}:budget:simulator/1000/61/second", 0, -1)
        seconds, _ = redis.time()
        assert spent and all(abs(float(each) - seconds) < 60 for each in spent)
        assert abs(float(store.status("simulator")["last_success"]) - seconds) < 60
        assert worker.logs().count("this machine's clock differs by") == 1


@pytest.mark.program("faketime")
@OFF
def test_a_beat_whose_clock_is_wrong_sends_ticks_that_count(
    tmp_path: Path, server: StoreServer, exchange: Exchange, off: str
) -> None:
    variables = {"REDIS_URL": server.url, "SIMULATOR_URL": exchange.url, "INTERVAL": "2"}
    with Parts(tmp_path, **variables) as parts:
        parts.start("worker", "--concurrency", "2", prompt="ready.")
        parts.start("beat", prompt="beat: Starting", off=off)
        wait_for(lambda: all(exchange.asked[each] >= 3 for each in MARKETS), "every market is fetched with every tick")
