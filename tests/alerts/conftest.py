"""What the tests of this folder share."""

import pytest

from tests.support.sending import World


@pytest.fixture
def world(redis):
    return World(redis)
