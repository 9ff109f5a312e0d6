"""Which tests a run leaves out, and that it says so: those of programs that the machine lacks, and slow ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.program("no-such-program")
def test_one(): pass

@pytest.mark.program("no-such-program")
def test_two(): pass

@pytest.mark.program("sh")
def test_of_what_is_there(): pass
"""
SLOW = """
import pytest

@pytest.mark.slow
def test_slow(): pass

def test_quick(): pass
"""


def run(folder: Path, tests: str, *options: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", folder]
    environment = os.environ | {"CI": ci}
    return subprocess.run(
        [*command, *options, folder], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ci", "status", "words"),
    [
        ("", 0, ["1 passed, 2 skipped", "LEFT OUT 2 tests: no-such-program is not installed"]),
        ("true", 1, ["1 passed, 2 errors", "no-such-program is not installed: CI runs every test"]),
    ],
)
def test_what_is_left_out_is_said_and_fails_in_ci(tmp_path: Path, ci: str, status: int, words: list[str]) -> None:
    done = run(tmp_path, TESTS, ci=ci)
    assert done.returncode == status, done.stdout + done.stderr
    assert all(each in done.stdout for each in words), done.stdout


@pytest.mark.slow
def test_fast_says_that_it_leaves_out_slow_tests(tmp_path: Path) -> None:
    done = run(tmp_path, SLOW, "-m", "not slow")
    assert done.returncode == 0 and "1 passed, 1 deselected" in done.stdout
    assert "LEFT OUT the slow tests" in done.stdout


def test_only_what_ci_refuses_may_leave_a_test_out() -> None:
    """``pytest.skip`` elsewhere would leave a test out of CI too."""
    allowed = {ROOT / "tests" / "support" / "programs.py", Path(__file__)}
    assert [
        path for path in (ROOT / "tests").rglob("*.py") if path not in allowed and "pytest.skip(" in path.read_text()
    ] == []


def test_the_script_says_what_it_does() -> None:
    done = subprocess.run([ROOT / "scripts/run-tests.sh", "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    for words in ("run-tests.sh fast", "everything", "Skips"):
        assert words in done.stdout


def test_ci_installs_every_program_that_a_test_needs() -> None:
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    needed = {name for text in texts for name in re.findall(r"""mark\.program\("([\w-]+)"\)""", text)}
    installed = set(
        re.findall(r"\b([\w-]+):[\w-]+", (ROOT / ".ci" / "run").read_text().partition("needed=(")[2].partition(")")[0])
    )
    assert needed and needed <= installed
