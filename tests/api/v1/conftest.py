"""Fixtures: an API over a store, and the store's outbox."""

import pytest
from flask.testing import FlaskClient

from tests.support.tracked import Tracked
from tracker.alerts.outbox import Outbox


@pytest.fixture
def outbox(tracked: Tracked) -> Outbox:
    return Outbox(tracked.store.redis)


@pytest.fixture
def client(tracked: Tracked) -> FlaskClient:
    return tracked.client
