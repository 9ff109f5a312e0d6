"""The embedded store with the process that guards it, for tests that stop it, kill it and damage its files."""

import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from redis import Redis, RedisError

from tests.support.servers import free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.store import aof


def at_any_moment(rng: random.Random, seconds: float) -> None:
    """Lets a random part of ``seconds`` pass, so that what follows hits the store at any moment of its work."""
    time.sleep(rng.uniform(0, seconds))


class Guarded:
    """``python -m tracker store`` on a folder of its own."""

    def __init__(self, folder: Path):
        port = free_port()
        self.environment = CLEAN | {"DATA_DIR": str(folder), "STORE_PORT": str(port), "STORE_PASSWORD": "known"}
        self.redis = Redis(port=port, password="known", socket_timeout=10)
        self.folder = folder / "store"
        self.files = self.folder / aof.FOLDER
        self.log = folder / "store.log"
        self.process: subprocess.Popen | None = None

    def launch(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tracker", "store"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def start(self) -> "Guarded":
        self.launch()
        wait_for(self.answers, "the store answers")
        return self

    def keep_up(self) -> bool:
        """Starts it again if it has ended, as a supervisor does. Returns whether it takes writes."""
        if self.process and self.process.poll() is not None:
            self.launch()
        with suppress(RedisError):
            return bool(self.redis.set("written", 1))
        return False

    def answers(self) -> bool:
        with suppress(RedisError):
            return bool(self.redis.ping())
        return False

    @property
    def server(self) -> psutil.Process:
        assert self.process
        return next(each for each in psutil.Process(self.process.pid).children() if "valkey-server" in each.name())

    def says(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")

    def persistence(self, name: str) -> object:
        answer: dict = self.redis.info("persistence")  # type: ignore[assignment]
        return answer[name]

    def rewrite(self) -> None:
        """Rewrites the file. From then on the server writes at a place that it remembers, not at the end."""
        done = self.persistence("aof_rewrites")
        self.redis.bgrewriteaof()
        wait_for(lambda: self.persistence("aof_rewrites") != done, "the file is rewritten")
        wait_for(lambda: not self.persistence("aof_rewrite_in_progress"), "that is done")
        assert self.persistence("aof_last_bgrewrite_status") == "ok"

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> "Guarded":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.stop()
        self.redis.close()
        print(self.log.read_text(errors="replace"))  # shown if the test fails
