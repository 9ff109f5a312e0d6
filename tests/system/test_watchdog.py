"""Workers and a beat that run and do nothing: the watchdog ends them, and they start again. It ends nothing that works,
or that would work if its broker did."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from redis import Redis

from tests.support.exchange import Exchange
from tests.support.processes import LocalProcess
from tests.support.relay import Relay
from tests.support.servers import StoreServer, wait_for
from tests.support.spiking import Spiking
from tests.support.stack import CLEAN, ROOT, Stack
from tracker.clock import Clock
from tracker.simulator.server import create_app

#: Seconds to wait at most. A tracker promises to consume again within two intervals, 120 s.
PATIENCE = 240
#: A Python that finds this at its start hangs when SIGUSR2 comes: its main thread never goes on.
HANGS = "import signal, time\nsignal.signal(signal.SIGUSR2, lambda *_: time.sleep(1_000_000))\n"
FEED = Spiking(seed=5, markets=4, exchanges=2)
MARKET = "{0.exchange}:{0.pair}".format(FEED.markets[0])


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(create_app(FEED, Clock())) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def stack(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "sitecustomize.py").write_text(HANGS)
    with Stack(folder, SIMULATOR_URL=exchange.url, INTERVAL="2", PYTHONPATH=str(folder)) as stack:
        yield stack.ready()


def mains(stack: Stack) -> dict[str, psutil.Process]:
    """The main processes of the workers and of the beat, by their names."""
    workers = {queue: stack.find("celery", "worker", queue) for queue in ("fetch", "evaluate", "notify")}
    return workers | {"beat": stack.find("celery", "beat")}


def consumes(stack: Stack, exchange: Exchange, seconds: float) -> None:
    """Waits until ticks are taken, fetches run, and evaluations run."""
    before = exchange.asked.total()
    wait_for(lambda: exchange.asked.total() > before, "fetches run", seconds)
    stack.redis.delete("{dt1}:rank:price")
    wait_for(lambda: len(stack.store.ranking("price")) == len(FEED.markets), "evaluations run", seconds)


def test_what_hangs_or_was_cancelled_is_ended_and_starts_again(stack: Stack, exchange: Exchange) -> None:
    began, before = time.monotonic(), mains(stack)
    before["fetch"].send_signal(signal.SIGUSR2)
    before["beat"].send_signal(signal.SIGUSR2)
    sender = Celery("sender", broker=stack.url, set_as_current=False)
    sender.control.cancel_consumer("evaluate", destination=[f"evaluate@{socket.gethostname()}"])
    for name in ("fetch", "beat", "evaluate"):
        wait_for(lambda name=name: not before[name].is_running(), f"{name} ends", PATIENCE)
    print(f"all ended after {time.monotonic() - began:.0f} s")
    consumes(stack, exchange, PATIENCE)
    print(f"consumed again after {time.monotonic() - began:.0f} s")
    assert before["notify"].is_running()
    for name, said in (
        ("fetch", r"takes no messages, though the broker answers: its loop hangs: <lambda> \(sitecustomize.py:2\)"),
        ("beat", r"sends no ticks, though the broker answers: its loop hangs: <lambda> \(sitecustomize.py:2\)"),
        ("evaluate", r"takes no messages, though the broker answers: its consumer of evaluate was cancelled"),
    ):
        log = (stack.folder / "log" / f"{name}.log").read_text(errors="replace")
        assert len(re.findall(said, log)) == 1, name


def test_a_store_that_hangs_for_ten_seconds_ends_nothing(stack: Stack, exchange: Exchange) -> None:
    before, store = mains(stack), stack.find("valkey-server")
    exchange.delay = 1
    wait_for(exchange.busy, "a fetch is under way")
    store.send_signal(signal.SIGSTOP)
    try:
        until = time.monotonic() + 10
        wait_for(lambda: time.monotonic() > until, "ten seconds", 11)
    finally:
        store.send_signal(signal.SIGCONT)
        exchange.delay = 0
    began = time.monotonic()
    consumes(stack, exchange, 60)
    print(f"consumed again after {time.monotonic() - began:.1f} s")
    assert mains(stack) == before


def test_a_worker_whose_connections_died_silently_connects_again(exchange: Exchange, tmp_path: Path) -> None:
    with StoreServer(tmp_path) as store, Relay(store.port) as relay, Redis.from_url(store.url) as redis:
        url = store.url.replace(f":{store.port}/", f":{relay.port}/")
        environment = CLEAN | {"REDIS_URL": store.url, "BROKER_URL": url, "SIMULATOR_URL": exchange.url}
        environment |= {"WORKER_POOL": "threads", "DATA_DIR": str(tmp_path)}
        line = [sys.executable, "-m", "tracker", "worker", "fetch", "--concurrency", "1"]
        worker = LocalProcess("worker", line, tmp_path, "ready.", environment)
        sender = Celery("sender", broker=store.url, set_as_current=False)

        def fetches_more_than(before: int) -> bool:
            if not redis.llen("fetch"):  # Redis gives a message to a dead connection that still asks
                sender.send_task("tracker.tasks.fetch", ("simulator", [MARKET]), queue="fetch")
            return exchange.asked.total() > before

        try:
            worker.ready()
            wait_for(lambda: healthy(environment), "it takes messages", 60)
            relay.lose()
            began = time.monotonic()
            wait_for(lambda: not healthy(environment), "it is known that it takes no messages", 60)
            before = exchange.asked.total()
            wait_for(lambda: fetches_more_than(before), f"it fetches again: {worker.logs()[-500:]}", PATIENCE)
            print(f"consumed again after {time.monotonic() - began:.0f} s")
            assert worker.status == "running"
        finally:
            worker.kill()


def healthy(environment: dict[str, str]) -> bool:
    command = [sys.executable, "-m", "tracker", "health", "--within", "10"]
    return not subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=30).returncode
