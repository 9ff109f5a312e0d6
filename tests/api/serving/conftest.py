"""Fixtures of this folder."""

import pytest

from tests.support.tracked import Tracked


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    tracked.fill(["kraken:ethbtc", "bancor:bntbtc"])
    return tracked
