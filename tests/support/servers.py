"""Real servers for tests, each on a free port, and waiting for conditions."""

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import requests
from redis import Redis, RedisError

from tracker.settings import load
from tracker.store.embedded import command

_given: set[int] = set()


def free_port() -> int:
    """A port on which nothing listens, below 32,768, where the ports of outgoing connections begin."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.SystemRandom().randrange(15_000, 32_000)
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30) -> object:
    """Returns the first true value of ``condition``. Raises AssertionError with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline  # one more look, even if this process was held up
        if value := condition():
            return value
        assert not late, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def wait_for_room(seconds: float = 10) -> None:
    """Waits for the next minute, a new slot, if this one ends in less than ``seconds``."""
    wait_for(lambda: time.time() % 60 < 60 - seconds, "the next minute", seconds + 10)


def answers(url: str) -> bool:
    """Whether a server answers there with success."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False


class StoreServer:
    """An embedded store with extra ``options``. It can be killed and started again on its data."""

    def __init__(self, folder: Path, *options: str):
        self.port = free_port()
        #: Settings with which parts of the tracker find it.
        self.variables = {"STORE_PORT": str(self.port), "DATA_DIR": str(folder)}
        self.command = [*command(load(self.variables)), *options]
        self.url = load(self.variables).redis_url
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_for(self.answers, f"the store on port {self.port} answers")

    def answers(self) -> bool:
        with contextlib.suppress(RedisError), Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """Ends it as a crash does, without a last sync."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "StoreServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
