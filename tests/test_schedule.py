"""When the ticks of a beat are due."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.stack import CLEAN

ROOT = Path(__file__).parents[1]
CODE = """
import time
from datetime import UTC, datetime
import celeryconfig
from celeryconfig import EachInterval

wall = 1_700_000_040.0  # a minute begins
schedule, last, fired = EachInterval(60), datetime.fromtimestamp(wall, UTC), []
time.time = lambda: wall
while wall < 1_700_000_040 + 600:
    due, wait = schedule.is_due(last)
    assert wait > 0
    if due:
        fired.append(wall)
        last = datetime.fromtimestamp(wall, UTC)
    wall += min(wait, 5) + 0.001  # a sleep is never too short
print(fired)
"""


def fired(**variables: str) -> list[float]:
    ended = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=CLEAN | variables, capture_output=True, text=True, check=True
    )
    return eval(ended.stdout)


@pytest.mark.slow
def test_a_tick_is_due_once_an_interval_a_tenth_after_it_begins() -> None:
    moments = fired()
    assert len(moments) == 10
    assert all(5.9 < moment % 60 < 6.1 for moment in moments)


@pytest.mark.slow
def test_a_faster_clock_has_more_of_them() -> None:
    moments = fired(CLOCK_SPEED="10", CLOCK_START="1700000040")
    assert len(moments) == 100
    assert all(abs(later - earlier - 6) < 0.01 for earlier, later in pairwise(moments))
