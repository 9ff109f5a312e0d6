"""Fixtures of this folder."""

import pytest

from tests.support.sending import World


@pytest.fixture
def world(redis):
    return World(redis)
