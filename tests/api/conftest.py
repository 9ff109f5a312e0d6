"""Fixtures: the store of the test run, emptied, with an API over it."""

import pytest
from redis import Redis

from tests.support.servers import StoreServer
from tests.support.tracked import Tracked


@pytest.fixture
def tracked(store_server: StoreServer, redis: Redis) -> Tracked:
    return Tracked(store_server.url)
