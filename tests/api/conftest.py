"""The run's store, emptied, with the API over it."""

import pytest
from redis import Redis

from tests.support.servers import StoreServer
from tests.support.tracked import Tracked


@pytest.fixture
def tracked(store_server: StoreServer, redis: Redis) -> Tracked:
    return Tracked(store_server.url)
