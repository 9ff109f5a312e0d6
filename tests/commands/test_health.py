"""What `python -m tracker health` says of real processes: at work, held up, without their broker, stopped, killed."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.processes import LocalProcess
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import ROOT
from tracker.clock import Clock
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app

pytestmark = pytest.mark.slow  # starts processes of its own

FEED = Generated(seed=7, markets=1, exchanges=1)
MARKET = "{0.exchange}:{0.pair}".format(FEED.markets[0])
#: Seconds after which these tests count a process as unhealthy: more than two of its touches.
WITHIN = "5"
WORDS = {"worker": ("worker", "fetch", "--concurrency", "1"), "beat": ("beat",), "api": ("api",),
         "flower": ("flower",), "simulator": ("simulate",)}  # fmt: skip
PROMPTS = {"worker": "ready.", "beat": "Starting...", "api": "Listening at", "flower": "Visit me at",
           "simulator": "simulator: "}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreServer]:
    """A store of this test's own, to be killed."""
    with StoreServer(tmp_path / "store") as server:
        yield server


@pytest.fixture
def parts(store: StoreServer, tmp_path: Path) -> Iterator[Parts]:
    ports = {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT", "SIMULATOR_PORT")}
    with Parts(tmp_path, REDIS_URL=store.url, DATA_DIR=str(tmp_path / "data"), **ports) as parts:
        yield parts


def start(parts: Parts, kind: str) -> LocalProcess:
    return parts.start(*WORDS[kind], prompt=PROMPTS[kind])


def health(parts: Parts) -> tuple[int, str]:
    """The exit status of the command, and what it says."""
    command = [sys.executable, "-m", "tracker", "health", "--within", WITHIN]
    done = subprocess.run(command, cwd=ROOT, env=parts.environment, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


def becomes(expected: str, parts: Parts, status: int = 1) -> None:
    """Waits until the command says in one line what matches ``expected``, with the exit ``status``."""
    wait_for(
        lambda: re.fullmatch(f"{expected}\n", (found := health(parts))[1]) and found[0] == status,
        f"{expected}, but {health(parts)}",
        60,
    )


def healthy(parts: Parts, kind: str) -> None:
    becomes(rf"{kind} \S+: at work", parts, 0)


NOTHING = r"health: nothing runs here: .*"


@pytest.mark.parametrize(
    ("kind", "pool", "lacks"),
    [("worker", "prefork", "takes no messages"), ("worker", "threads", "takes no messages"),
     ("beat", "prefork", "sends no ticks")],
)  # fmt: skip
def test_a_part_is_healthy_while_it_does_its_work(
    parts: Parts, store: StoreServer, kind: str, pool: str, lacks: str
) -> None:
    parts.environment["WORKER_POOL"] = pool
    becomes(NOTHING, parts)
    process = start(parts, kind).process
    healthy(parts, kind)

    process.send_signal(signal.SIGSTOP)
    becomes(rf"health: {kind} \S+-{process.pid} {lacks} for \d+ s: .* the process hangs", parts)
    process.send_signal(signal.SIGCONT)
    healthy(parts, kind)

    store.kill()
    becomes(rf"health: {kind} \S+ {lacks} for \d+ s: its broker is away.*", parts)
    store.start()
    healthy(parts, kind)

    process.terminate()
    assert process.wait(30) == 0
    becomes(NOTHING, parts)
    assert list((parts.folder / "data" / "alive").iterdir()) == []


def test_a_worker_that_is_busy_for_long_is_healthy(parts: Parts, store: StoreServer) -> None:
    """While it has as many tasks as it may have, it asks for no more."""
    with Exchange(create_app(FEED, Clock())) as exchange:
        parts.environment |= {"WORKER_POOL": "threads", "SIMULATOR_URL": exchange.url}
        start(parts, "worker")
        healthy(parts, "worker")
        exchange.delay = 3 * float(WITHIN)
        sender = Celery("sender", broker=store.url, set_as_current=False)
        sender.send_task("tracker.tasks.fetch", ("simulator", [MARKET]), queue="fetch")
        wait_for(exchange.busy, "it is busy")
        began = time.monotonic()
        while exchange.busy():
            assert health(parts)[0] == 0
        assert time.monotonic() - began > 2 * float(WITHIN)


def test_a_worker_that_never_reached_its_broker_is_not_healthy(parts: Parts, store: StoreServer) -> None:
    store.kill()
    parts.start("worker", "fetch", prompt="Trying again")
    becomes(r"health: worker \S+ takes no messages yet: its broker is away.*", parts)


def test_each_part_must_be_healthy_and_a_killed_one_counts_for_nothing(parts: Parts) -> None:
    one, other = start(parts, "worker"), start(parts, "beat")
    wait_for(lambda: health(parts)[0] == 0, "both are at work", 60)
    assert [line.partition(" ")[0] for line in health(parts)[1].splitlines()] == ["beat", "worker"]
    one.process.send_signal(signal.SIGSTOP)
    becomes(r"health: worker \S+ takes no messages for .*", parts)
    one.kill()
    healthy(parts, "beat")
    other.restart()
    healthy(parts, "beat")
    [left] = (parts.folder / "data" / "alive").iterdir()
    assert left.name.endswith(f"-{other.process.pid}")


def test_a_worker_whose_data_folder_cannot_be_written_says_so_and_works(parts: Parts) -> None:
    (parts.folder / "data").write_text("a file, not a folder")
    worker = start(parts, "worker")
    assert worker.logs().count("WARNING worker-fetch python -m tracker health cannot see this process: ") == 1
    assert health(parts)[0] == 1


def test_a_file_that_cannot_be_read_is_said(parts: Parts) -> None:
    (parts.folder / "data" / "alive" / "worker-here-1").mkdir(parents=True)
    folder = parts.folder / "data" / "alive"
    assert health(parts) == (1, f"health: {folder} cannot be read: Is a directory\n")


def test_a_worker_that_is_a_systemd_unit_resets_its_watchdog(parts: Parts) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(parts.folder / "notify"))
        systemd.settimeout(30)
        parts.environment["NOTIFY_SOCKET"] = str(parts.folder / "notify")
        start(parts, "worker")
        assert systemd.recv(100) == systemd.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(("kind", "port"), [("flower", "FLOWER_PORT"), ("simulator", "SIMULATOR_PORT")])
def test_a_server_is_healthy_while_it_answers(parts: Parts, kind: str, port: str) -> None:
    start(parts, kind)
    healthy(parts, kind)
    parts.environment[port] = free = str(free_port())
    becomes(rf"health: {kind} at port {free} does not answer: \[Errno 111\] Connection refused", parts)


def test_an_api_is_healthy_while_its_store_answers_too(parts: Parts, store: StoreServer) -> None:
    start(parts, "api")
    healthy(parts, "api")
    store.kill()
    becomes(r"health: api at port \d+ answers with status 503: its log says more", parts)
