"""Fixtures for the tests of sources."""

import pytest

from tests.support.cryptowatch import CLOCK
from tracker.sources.cryptowatch import Cryptowatch
from tracker.sources.http import session


@pytest.fixture
def client():
    with session({}) as client:
        yield client


@pytest.fixture
def source(server):
    source = Cryptowatch(server.url, "", 60, CLOCK)
    yield source
    source.session.close()
