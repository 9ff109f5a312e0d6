"""Local processes in the place of the containers that pytest-celery expects."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.support.servers import wait_for


class LocalProcess:
    """A process that can be started, killed and restarted with the same command, like a container of pytest-celery.

    ``prompt``: words in its log that say it is ready. ``celeryconfig``: the settings that a broker gives to Celery.
    """

    def __init__(
        self, name: str, command: list[str], folder: Path, prompt: str,
        environment: dict[str, str] | None = None, celeryconfig: dict[str, Any] | None = None,
    ):  # fmt: skip
        self.name = self.id = name
        self.command = command
        self.prompt = prompt
        self.environment = environment
        self.celeryconfig = celeryconfig or {}
        self.log = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=Path(__file__).parents[2], env=self.environment, stdout=log, stderr=log
            )

    @property
    def status(self) -> str:
        return "running" if self.process.poll() is None else "exited"

    def logs(self) -> str:
        return self.log.read_text(errors="replace")

    def ready(self) -> bool:
        """Waits for the prompt of the latest start."""
        wait_for(lambda: self.prompt in self.logs()[self._log_start :], f"{self.name} is ready: {self.logs()[-500:]}")
        return True

    def kill(self, signal: str | int = "SIGKILL") -> None:
        os.kill(self.process.pid, _number(signal))
        self.process.wait(60)

    def restart(self, timeout: float = 60) -> None:
        if self.status == "running":
            self.kill("SIGTERM")
        self.start()
        self.ready()

    def reload(self) -> None:
        """Does nothing: a container has a cached state to refresh, a process has none."""

    def teardown(self) -> None:
        if self.status == "running":
            self.process.terminate()
            try:
                self.process.wait(30)
            finally:
                self.process.kill()


def _number(name: str | int) -> int:
    return signal.Signals[name].value if isinstance(name, str) else name
