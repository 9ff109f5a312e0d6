"""Parts of the tracker as processes side by side, each with its own clock."""

import sys
from pathlib import Path

import psutil

from tests.support.processes import LocalProcess
from tests.support.stack import CLEAN

#: Python's own sleep fails under faketime.
SLEEP = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


class Parts:
    """Runs parts of the tracker side by side. ``off`` of ``start`` shifts a part's clock, as faketime writes it."""

    def __init__(self, folder: Path, **variables: str):
        self.folder, self.started = folder, []
        (folder / "sitecustomize.py").write_text(SLEEP)
        self.environment = CLEAN | variables | {"PYTHONPATH": str(folder)}

    def start(self, *words: str, prompt: str, off: str = "") -> LocalProcess:
        faked = ["faketime", "--exclude-monotonic", "-f", off] if off else []
        command = [*faked, sys.executable, "-m", "tracker", *words]
        self.started.append(LocalProcess(words[0], command, self.folder, prompt, self.environment))
        self.started[-1].ready()
        return self.started[-1]

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.started:
            if part.command[0] == "faketime":  # it waits for the part and passes no signal on
                [child] = psutil.Process(part.process.pid).children()
                child.terminate()
                part.process.wait(30)
            part.teardown()
