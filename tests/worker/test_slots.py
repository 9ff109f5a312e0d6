"""A message of which Redis does not hear that it was acknowledged takes no place of the worker's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Message
from kombu.transport import redis

from tests.support.servers import StoreServer
from tracker.worker import slots


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis.Channel, "QoS", redis.Channel.QoS)  # puts kombu's own back in the end
    slots.install()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreServer]:
    """A store of this test's own, to be killed."""
    with StoreServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize("finish", [Message.ack, Message.reject, Message.requeue])
def test_it_takes_no_place(installed: None, store: StoreServer, finish: Callable[[Message], Any]) -> None:
    with Connection(store.url, transport_options={"max_connections": 1}) as connection:
        queue = connection.SimpleQueue("places")
        queue.channel.basic_qos(0, 1, False)
        queue.put("a message")
        message = queue.get(timeout=10)
        assert not queue.channel.qos.can_consume()
        store.kill()
        with pytest.raises(connection.connection_errors):
            finish(message)
        assert queue.channel.qos.can_consume()
        store.start()
