"""A test of a program that the machine lacks is left out and said so; in CI it fails."""

import os
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


@pytest.mark.parametrize(
    ("ci", "status", "words"),
    [
        ("", 0, ["1 passed, 2 skipped", "LEFT OUT 2 tests: no-such-program is not installed"]),
        ("true", 1, ["1 passed, 2 errors", "no-such-program is not installed: .ci/run must install it"]),
    ],
)
def test_what_is_left_out_is_said_and_fails_in_ci(tmp_path: Path, ci: str, status: int, words: list[str]) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    done = subprocess.run(
        [*command, tmp_path], cwd=ROOT, env=os.environ | {"CI": ci}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert all(each in done.stdout for each in words), done.stdout
