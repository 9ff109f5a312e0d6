"""Real workers on a real broker, by pytest-celery: what happens to fetches when a process is killed."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker, RedisTestBroker

from tests.support.exchange import Exchange
from tests.support.processes import LocalProcess
from tests.support.servers import free_port, wait_for
from tests.support.stack import CLEAN, alive
from tests.support.truth import assert_complete
from tracker.clock import Clock
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.connection import connect
from tracker.store.embedded import command
from tracker.store.series import Store

FEED = Generated(seed=7, markets=4, exchanges=2)
MARKETS = [f"{listing.exchange}:{listing.pair}" for listing in FEED.markets]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(create_app(FEED, Clock())) as exchange:
        yield exchange


@pytest.fixture
def celery_broker(tmp_path: Path) -> Iterator[RedisTestBroker]:
    settings = load({"STORE_PORT": str(free_port()), "DATA_DIR": str(tmp_path)})
    line = command(settings)
    url = settings.redis_url
    broker = RedisTestBroker(LocalProcess(
        "store", line, tmp_path,
        prompt="Ready to accept connections", celeryconfig={"url": url, "host_url": url},
    ))  # fmt: skip
    broker.ready()
    yield broker
    broker.teardown()


@pytest.fixture
def celery_backend_cluster() -> None:
    """There is no backend, because results are ignored."""


@pytest.fixture(params=["prefork", "threads"])
def celery_worker(
    request: pytest.FixtureRequest, celery_broker: RedisTestBroker, exchange: Exchange, tmp_path: Path
) -> Iterator[CeleryTestWorker]:
    environment = CLEAN | {
        "REDIS_URL": celery_broker.config()["url"], "SIMULATOR_URL": exchange.url, "WORKER_POOL": request.param,
    }  # fmt: skip
    line = [sys.executable, "-m", "tracker", "worker", "--name", "worker", "--concurrency", "2"]
    worker = CeleryTestWorker(LocalProcess("worker", line, tmp_path, "ready.", environment), app=None)
    worker.ready()
    yield worker
    worker.teardown()


@pytest.fixture
def store(celery_broker: RedisTestBroker) -> Store:
    return Store(connect(celery_broker.config()["url"]), Ring())


def send_fetches(setup: CeleryTestSetup, markets: list[str] = MARKETS) -> None:
    for market in markets:
        setup.app.send_task("tracker.tasks.fetch", ("simulator", [market]), queue="fetch")


def assert_all_stored(setup: CeleryTestSetup, store: Store) -> None:
    """Every market is fetched and ranked. If a minute ended during its fetch, the next fetch completes it."""
    wait_for(lambda: len(store.ranking("price")) == len(MARKETS), "every market is ranked")
    send_fetches(setup)
    assert_complete(store, FEED)


def test_fetches_store_and_rank(celery_setup: CeleryTestSetup, store: Store) -> None:
    send_fetches(celery_setup)
    assert_all_stored(celery_setup, store)


def test_a_market_that_fails_does_not_touch_its_batch(
    celery_setup: CeleryTestSetup, exchange: Exchange, store: Store
) -> None:
    exchange.wrong = {MARKETS[1]}
    celery_setup.app.send_task("tracker.tasks.fetch", ("simulator", MARKETS), queue="fetch")
    wait_for(lambda: len(store.ranking("price")) == len(MARKETS) - 1, "the others are ranked")
    assert store.status("simulator")["refused:not_json"] == "1"
    assert MARKETS[1] in store.status("simulator")["last_error"]
    assert np.isnan(store.windows([MARKETS[1]], time.time()).values).all()


def test_the_store_is_killed_while_fetches_run(celery_setup: CeleryTestSetup, exchange: Exchange, store: Store) -> None:
    """The worker reconnects by itself: there is no supervisor here."""
    for _ in range(2):
        exchange.delay = 1.5
        send_fetches(celery_setup)
        wait_for(exchange.busy, "a fetch is under way")
        celery_setup.broker.kill()
        celery_setup.broker.container.start()
        celery_setup.broker.ready()
        exchange.delay = 0
        before = exchange.asked.total()
        send_fetches(celery_setup)
        wait_for(lambda before=before: exchange.asked.total() > before, "fetches are consumed again")
    assert celery_setup.worker.container.status == "running"
    assert_all_stored(celery_setup, store)


def test_a_child_killed_inside_a_fetch_loses_nothing(
    celery_setup: CeleryTestSetup, exchange: Exchange, store: Store
) -> None:
    worker = psutil.Process(celery_setup.worker.container.process.pid)
    exchange.delay = 5
    send_fetches(celery_setup, MARKETS[:1])
    wait_for(exchange.busy, "the fetch is under way")
    if children := worker.children():
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
    else:  # threads: the worker itself is killed and started again
        celery_setup.worker.kill()
        celery_setup.worker.restart()
        send_fetches(celery_setup, MARKETS[:1])  # like the next tick; the lost task comes back after 180 s
    exchange.delay = 0
    wait_for(lambda: exchange.asked[MARKETS[0]] >= 2, "it is fetched again")
    send_fetches(celery_setup, MARKETS[1:])
    assert_all_stored(celery_setup, store)
    assert celery_setup.worker.container.status == "running"


def test_sigterm_hands_back_what_runs_and_leaves_no_process(
    celery_setup: CeleryTestSetup, exchange: Exchange, store: Store
) -> None:
    exchange.delay = 1
    send_fetches(celery_setup)
    wait_for(exchange.busy, "a fetch is under way")
    everything = psutil.Process(celery_setup.worker.container.process.pid).children(recursive=True)
    celery_setup.worker.kill("SIGTERM")
    wait_for(lambda: not alive(everything), "its processes are gone")
    exchange.delay = 0
    celery_setup.worker.restart()
    assert_all_stored(celery_setup, store)


def test_sigterm_stops_a_worker_while_the_store_hangs_and_no_task_is_lost(
    celery_setup: CeleryTestSetup, exchange: Exchange, store: Store
) -> None:
    exchange.delay = 1
    send_fetches(celery_setup, MARKETS[:2])
    wait_for(lambda: exchange.asked.total() == 2, "both fetches are under way")
    worker, server = celery_setup.worker.container.process, celery_setup.broker.container.process
    children = psutil.Process(worker.pid).children(recursive=True)
    server.send_signal(signal.SIGSTOP)
    try:
        worker.terminate()
        worker.wait(25)  # its limit is 6 s; Celery alone waits for more than 100 s
        wait_for(lambda: not alive(children), "its processes are gone")
    finally:
        server.send_signal(signal.SIGCONT)
    assert store.redis.hlen("unacked") == 2  # kombu delivers these again


def test_every_event_of_a_task_is_told_though_the_worker_is_idle_then(celery_setup: CeleryTestSetup) -> None:
    app, tasks, told = celery_setup.app, [], set()
    kinds = ("task-received", "task-started", "task-succeeded")
    deadline = time.monotonic() + 30

    def tell(event: dict) -> None:
        if not tasks:  # the first event is a heartbeat, so events arrive
            tasks.extend(app.send_task("tracker.tasks.evaluate", ([],), queue="evaluate").id for _ in range(200))
        told.add((event["type"], event.get("uuid")))
        receiver.should_stop = every_one() <= told or time.monotonic() > deadline

    def every_one() -> set[tuple[str, str]]:
        return {(kind, task) for kind in kinds for task in tasks}

    [configured] = app.control.inspect(timeout=10, limit=1).conf().values()
    assert configured["worker_consumer"] == "tracker.worker.consumer:Consumer"
    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": tell})
        receiver.capture(timeout=35)
    assert tasks and every_one() - told == set()
