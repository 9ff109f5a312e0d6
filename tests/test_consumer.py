"""The events of tasks that a worker sends in batches."""

from collections.abc import Callable
from typing import Any

import pytest

from tracker.consumer import Dispatcher
from tracker.tasks import app


class Producer:
    """Sends to a list, after something else has happened."""

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        self.meanwhile, self.sent = meanwhile, []

    def publish(self, events: list[dict], **_: Any) -> None:
        self.meanwhile()
        self.sent += [event["uuid"] for event in events]


@pytest.fixture
def dispatcher() -> Dispatcher:
    with app.connection_for_write() as connection:
        return app.events.Dispatcher(connection, buffer_group=["task"])


def test_an_event_that_comes_while_others_are_sent_is_sent_next(dispatcher: Dispatcher) -> None:
    others = iter("bc")
    producer = dispatcher.producer = Producer(lambda: dispatcher.send("task-started", uuid=next(others)))
    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()
    assert producer.sent == ["a"]
    dispatcher.flush()
    assert producer.sent == ["a", "b"]


def test_what_could_not_be_sent_is_sent_over_the_next_connection(dispatcher: Dispatcher) -> None:
    def away() -> None:
        raise ConnectionError

    dispatcher.producer = Producer(away)
    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()
    dispatcher.flush()
    producer = dispatcher.producer = Producer(lambda: None)
    dispatcher.flush()
    assert producer.sent == ["a"]


def test_nothing_is_sent_where_nothing_waits(dispatcher: Dispatcher) -> None:
    producer = dispatcher.producer = Producer(lambda: None)
    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()
    producer.meanwhile = lambda: pytest.fail("something was sent")
    dispatcher.flush()
    assert producer.sent == ["a"]
