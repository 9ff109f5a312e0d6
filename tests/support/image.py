"""The Dockerfile, read and carried out without Docker: a folder stands for the root of the image's file system."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
IGNORE = ROOT / ".dockerignore"


class Step(NamedTuple):
    """An instruction of the Dockerfile, e.g. ("RUN", "pip install ...")."""

    name: str
    text: str


def stages() -> list[list[Step]]:
    """The steps of each stage. Each begins with FROM; what stands before the first stage is left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    steps = [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
    starts = [number for number, step in enumerate(steps) if step.name == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)]


def texts(name: str) -> list[str]:
    """What the last stage says with the instruction ``name``."""
    return [step.text for step in stages()[-1] if step.name == name]


def listed(name: str) -> list[str]:
    """The words of an instruction of the last stage that ends with a JSON list, e.g. ENTRYPOINT."""
    [text] = texts(name)
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def kept() -> set[str]:
    """What .dockerignore lets into the build."""
    return {line[1:] for line in IGNORE.read_text().splitlines() if line.startswith("!")}


class Image:
    """The image in ``folder``. Its programs run on this machine, with the Python of these tests."""

    def __init__(self, folder: Path):
        self.folder = folder

    def build(self) -> None:
        """Carries out the stage that installs, with exactly the files that it copies."""
        place = self.folder
        for step in stages()[0]:
            if step.name == "WORKDIR":
                place = self.folder / step.text.strip("/")
                place.mkdir(parents=True)
            elif step.name == "RUN":
                self._run(step.text, place)
            elif step.name == "COPY":
                *sources, target = step.text.split()
                for source in sources:
                    copy(ROOT / source, place / target if target != "./" else place / source)

    def _run(self, command: str, place: Path) -> None:
        """Runs it as the build does, but with pip's cache, so that it needs seconds."""
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        words = self.local(command).replace("--no-cache-dir", "--disable-pip-version-check")
        done = subprocess.run(
            words, cwd=place, env=environment, shell=True, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (command, done.stdout[-1_000:], done.stderr[-1_000:])

    def local(self, text: str) -> str:
        return text.replace("/venv", f"{self.folder}/venv")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        [text] = texts("ENV")
        own = dict(word.split("=", 1) for word in shlex.split(self.local(text)))
        return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in own.items()}

    def command(self, *words: str) -> list[str]:
        """The command line of a container with the command ``words``."""
        program, *rest = [*listed("ENTRYPOINT"), *words]
        return [str(shutil.which(program, path=self.environment["PATH"])), *rest]


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
