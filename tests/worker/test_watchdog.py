"""When the watchdog ends a process, and when it does not. tests/system/test_watchdog.py has whole workers."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.worker import alive, deadline, watchdog
from tracker.worker.watchdog import Watchdog

LOOKS = 5
#: A process whose loop turns, and says so, until it is killed. It has a second for each look that it may miss.
TURNS = """
import sys, time
from celery import Celery
from tracker.worker import watchdog
watchdog.EVERY, watchdog.LOOKS = 0.1, 10
watched = watchdog.Watchdog(Celery(broker=sys.argv[1]), "does nothing")
watched.begin()
while True:
    watched.hears()
    print("turns", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with each look that does not end the process."""
    found: list[None] = []
    monkeypatch.setattr(watchdog, "EVERY", 0.05)
    monkeypatch.setattr(watchdog, "LOOKS", LOOKS)
    monkeypatch.setattr(alive, "tell_systemd", lambda: found.append(None))
    return found


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the watchdog ends this process."""
    event = threading.Event()
    monkeypatch.setattr(deadline, "end_process", event.set)
    return event


@pytest.fixture
def watched(looks: list[None], ended: threading.Event, store_server: StoreServer) -> Iterator[Watchdog]:
    yield from watching(store_server.url)


def watching(broker: str) -> Iterator[Watchdog]:
    app = Celery(broker=broker, set_as_current=False)
    app.conf.broker_transport_options = {"socket_timeout": 0.2}
    watched = Watchdog(app, "does nothing")
    watched.begin()
    yield watched
    watched.end()


def goes_on(looks: list[None], ended: threading.Event, watched: Watchdog, *said: str) -> None:
    """Many looks end nothing, while the loop says ``said`` again and again."""
    many = len(looks) + 3 * LOOKS

    def looked() -> bool:
        for each in said:
            watched.hears(each)
        return len(looks) > many

    wait_for(looked, "it looks")
    assert not ended.is_set()


def test_a_loop_that_does_not_turn_ends_its_process(
    watched: Watchdog, looks: list[None], ended: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    goes_on(looks, ended, watched, "")
    before = len(looks)
    assert ended.wait(10)
    assert LOOKS - 1 <= len(looks) - before <= LOOKS
    [line] = caplog.messages
    assert line.startswith("does nothing, though the broker answers: its loop hangs: wait (threading.py:")


def test_a_loop_that_turns_and_does_not_work_ends_its_process(
    watched: Watchdog, looks: list[None], ended: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    wait_for(lambda: watched.hears("cancelled") or ended.is_set(), "it ends")
    assert caplog.messages == ["does nothing, though the broker answers: cancelled. Ends now, to be started again"]


@pytest.mark.slow  # the watchdog gives the log two seconds
def test_a_log_that_hangs_holds_nothing_up(
    watched: Watchdog, ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    monkeypatch.setattr(logging.Logger, "critical", lambda *_: free.wait())
    assert ended.wait(20)
    free.set()


def test_a_process_that_stops_is_not_ended(watched: Watchdog, looks: list[None], ended: threading.Event) -> None:
    goes_on(looks, ended, watched, "")
    watched.end()
    wait_for(lambda: not any(each.name == "watchdog" for each in threading.enumerate()), "nobody looks any more")
    assert not ended.is_set()


def test_nothing_is_ended_while_the_broker_is_away(looks: list[None], ended: threading.Event) -> None:
    for watched in watching(f"redis://127.0.0.1:{free_port()}"):
        goes_on(looks, ended, watched)


@pytest.mark.slow  # several looks at a broker that hangs
def test_nothing_is_ended_while_the_broker_hangs(looks: list[None], ended: threading.Event, tmp_path: Path) -> None:
    with StoreServer(tmp_path) as store:
        assert store.process
        store.process.send_signal(signal.SIGSTOP)
        for watched in watching(store.url):
            goes_on(looks, ended, watched)
            store.process.send_signal(signal.SIGCONT)
            assert ended.wait(20)


@pytest.mark.slow
def test_a_process_that_was_stopped_itself_goes_on(store_server: StoreServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TURNS, store_server.url], cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            until = time.monotonic() + 2
            wait_for(lambda: time.monotonic() > until, "it is stopped for longer than it may hang", 3)
            process.send_signal(signal.SIGCONT)
            assert [process.stdout.readline() for _ in range(60)][-1] == b"turns\n"
        finally:
            process.kill()
