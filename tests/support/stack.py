"""The whole tracker as a user runs it: the command of ``./scripts/start``, on free ports and a new folder."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import requests
from redis import Redis, RedisError

from tests.support.servers import free_port, wait_for
from tracker.alerts.outbox import Outbox
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.store.embedded import password
from tracker.store.series import Store

ROOT = Path(__file__).parents[2]
#: The only variables that the tracker under test inherits from the machine.
CLEAN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


class Stack:
    """``python -m tracker start`` with ``arguments`` and the environment variables ``settings``."""

    def __init__(self, folder: Path, *arguments: str, python: Path | str = sys.executable, **settings: str):
        names = ("STORE_PORT", "API_PORT", "FLOWER_PORT", "SIMULATOR_PORT", "METRICS_PORT")
        ports = {name: free_port() for name in names}
        self.environment = (
            CLEAN | {"DATA_DIR": str(folder)} | {name: str(port) for name, port in ports.items()} | settings
        )
        self.api = f"http://127.0.0.1:{self.environment['API_PORT']}"
        self.flower = f"http://127.0.0.1:{self.environment['FLOWER_PORT']}"
        self.metrics = f"http://127.0.0.1:{self.environment['METRICS_PORT']}/metrics"
        configured = load(self.environment)
        self.url = replace(configured, store_password=password(configured)).redis_url
        self.redis = Redis.from_url(self.url)
        self.store = Store(self.redis, Ring(60))
        self.outbox = Outbox(self.redis)
        self.folder = folder
        self.command = [str(python), "-m", "tracker", "start", *arguments]
        self.directory = ROOT
        self.lines: list[str] = []

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def ready(self, seconds: float = 90) -> "Stack":
        """Waits until it has printed its addresses: then every market has its 24 h and its rank."""
        wait_for(lambda: self.process.poll() is not None or self._welcomed(), f"started: {self.lines}", seconds)
        assert self.process.poll() is None, self.lines
        return self

    def _welcomed(self) -> bool:
        return any(line.startswith("Ctrl-C") for line in list(self.lines))

    def run(self, *arguments: str) -> subprocess.Popen:
        """Starts ``python -m tracker ARGUMENTS`` in the same environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "tracker", *arguments],
            cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """All its child processes, at any depth."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, *words: str) -> psutil.Process:
        """The main process of a part: the oldest process with all ``words`` in its command line."""
        matching = self.find_all(*words)
        assert matching, f"no process with {words}"
        return min(matching, key=lambda each: each.create_time())

    def find_all(self, *words: str) -> list[psutil.Process]:
        return [each for each in self.processes() if all(word in " ".join(_command(each)) for word in words)]

    def get(self, path: str) -> dict:
        answer = requests.get(self.api + path, timeout=10)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except RedisError:
            return False

    def stop(self, number: int = signal.SIGINT) -> list[psutil.Process]:
        """Ends it as Ctrl-C does. Returns the processes that it left behind."""
        started = self.processes() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(150)  # longer than its own limit
        self._reader.join(10)
        return alive(started)

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for left in self.stop():
            left.kill()
        self.redis.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run. A zombie has ended: its parent has just not asked about it."""
    return [each for each in processes if _status(each) not in (None, psutil.STATUS_ZOMBIE)]


def _status(process: psutil.Process) -> str | None:
    """Its status, None once it is gone."""
    try:
        return process.status() if process.is_running() else None
    except psutil.NoSuchProcess:
        return None


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
