"""Programs of the system that tests need: nginx, say. A machine that lacks one leaves the tests of it out, and says so;
CI must not, see .ci/run."""

import os
import shutil

import pytest


def find(name: str) -> str | None:
    """Where a program is, in PATH or among those for root."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def require(item: pytest.Item) -> None:
    """Leaves ``item`` out if it is marked ``program(NAME)`` and there is none; under CI=true it fails instead."""
    for marker in item.iter_markers("program"):
        name = marker.args[0]
        if not find(name):
            text = f"{name} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{text}: .ci/run must install it", pytrace=False)
            pytest.skip(text)


def left_out(skipped: list[pytest.TestReport]) -> list[str]:
    """A line for each reason why tests were left out."""
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    return [f"LEFT OUT {reasons.count(each)} tests: {each.removeprefix('Skipped: ')}" for each in sorted(set(reasons))]
