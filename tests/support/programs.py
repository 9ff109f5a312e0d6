"""Programs and rights that tests need and a machine may lack: nginx, say.

A test that lacks one is left out, and the last lines of the run say so. In CI it fails: .ci/run installs the programs.
"""

import os
import shutil
from typing import NoReturn

import pytest


def find(name: str) -> str | None:
    """The path of a program, looked for in PATH and in the folders for root."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def require(item: pytest.Item) -> None:
    """Leaves ``item`` out if it is marked ``program(NAME)`` and the machine lacks that program."""
    for marker in item.iter_markers("program"):
        if not find(marker.args[0]):
            lacking(f"{marker.args[0]} is not installed")


def lacking(what: str) -> NoReturn:
    """Leaves the test out because the machine lacks ``what``. Under CI=true the test fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: CI runs every test, and .ci/run must install what they need", pytrace=False)
    pytest.skip(what)


def left_out(skipped: list[pytest.TestReport]) -> list[str]:
    """A line for each reason why tests were left out."""
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    return [f"LEFT OUT {reasons.count(each)} tests: {each.removeprefix('Skipped: ')}" for each in sorted(set(reasons))]
