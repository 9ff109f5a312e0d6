"""Parts of the tracker beside each other, each with a clock of its own."""

import sys
from pathlib import Path

from tests.support.processes import LocalProcess
from tests.support.stack import CLEAN

#: Under faketime the system call of Python's own sleep fails.
SLEEP = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


class Parts:
    """Parts of the tracker beside each other; ``off``: what faketime does to a part's clock."""

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
            part.teardown()
