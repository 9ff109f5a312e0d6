"""The run's store, emptied, with the API over it."""

import pytest
from redis import Redis

from tests.api.tracked import Tracked
from tests.servers import StoreServer


@pytest.fixture
def tracked(store_server: StoreServer, redis: Redis) -> Tracked:
    return Tracked(store_server.url)
