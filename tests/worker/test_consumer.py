"""Sending events of tasks in batches, and stopping a worker."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.worker import consumer, state
from kombu.asynchronous import Hub

from tracker.tasks import app
from tracker.worker import deadline
from tracker.worker.consumer import Consumer
from tracker.worker.events import Dispatcher
from tracker.worker.stopping import between_events


class Producer:
    """Sends to a list, after a call of ``meanwhile``."""

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


def test_what_could_not_be_sent_is_sent_when_it_can_be(dispatcher: Dispatcher) -> None:
    def away() -> None:
        raise ConnectionError

    dispatcher.producer = Producer(away)
    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()
    dispatcher.flush()
    producer = dispatcher.producer = Producer(lambda: None)
    dispatcher.flush()
    assert producer.sent == ["a"]


def test_what_cannot_be_sent_is_tried_once(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    monkeypatch.setattr(dispatcher.producer, "publish", lambda event, retry=None, **_: tries.append(retry))
    dispatcher.send("worker-heartbeat", retry=True)
    assert tries == [False]


def test_nothing_is_sent_where_nothing_waits(dispatcher: Dispatcher) -> None:
    producer = dispatcher.producer = Producer(lambda: None)
    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()
    producer.meanwhile = lambda: pytest.fail("something was sent")
    dispatcher.flush()
    assert producer.sent == ["a"]


@pytest.fixture
def seen() -> Iterator[list[str]]:
    """A list of what happened; SIGTERM adds ``stopped``."""
    found: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: found.append("stopped"))
    yield found
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def test_a_signal_stops_between_two_events(hub: Hub, seen: list[str]) -> None:
    reader, writer = os.pipe()

    def event() -> None:
        hub.remove_reader(reader)
        seen.append("an event begins")
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append("it ends")

    with between_events(hub):
        hub.add_reader(reader, event)
        os.write(writer, b"x")
        loop = hub.create_loop()
        while "stopped" not in seen:
            next(loop)
    assert seen == ["an event begins", "it ends", "stopped"]
    os.close(reader)
    os.close(writer)


def test_a_workers_loop_is_stopped_so(hub: Hub, seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def loop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append("the loop ends")

    monkeypatch.setattr(consumer.Consumer, "__init__", lambda self: vars(self).update(hub=hub, loop=loop))
    monkeypatch.setattr(deadline, "begin", lambda: seen.append("the deadline begins"))
    Consumer().loop()
    assert seen == ["the deadline begins", "the loop ends", "stopped"]


def test_a_signal_that_comes_with_the_end_of_the_loop_stops(hub: Hub, seen: list[str]) -> None:
    for _ in range(2):  # as after a lost connection
        with between_events(hub):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == []
        assert seen == ["stopped"]
        seen.clear()


def run(hub: Hub, until: Callable[[], bool]) -> None:
    loop = hub.create_loop()
    while not until():
        next(loop)


class Request:
    """A task that a worker has taken."""

    eta = None


@pytest.fixture(params=["active_requests", "reserved_requests"])
def running(request: pytest.FixtureRequest) -> Iterator[set[Request]]:
    """A set of a worker's requests, with one that runs or that a child is about to run."""
    requests: set[Request] = getattr(state, request.param)
    taken = Request()
    requests.add(taken)
    yield requests
    requests.discard(taken)


def test_what_runs_is_finished_by_the_loop_before_the_worker_stops(
    hub: Hub, seen: list[str], running: set[Request]
) -> None:
    def retire() -> float:
        seen.append("no more messages")
        return 60

    def finish() -> None:
        seen.append("a result is read")
        running.pop()

    with between_events(hub, retire=retire):
        hub.call_later(0.2, finish)
        os.kill(os.getpid(), signal.SIGTERM)
        run(hub, lambda: "stopped" in seen)
    assert seen == ["no more messages", "a result is read", "stopped"]


def test_the_wait_for_what_runs_ends_in_time(hub: Hub, seen: list[str], running: set[Request]) -> None:
    with between_events(hub, retire=lambda: 0.01):
        os.kill(os.getpid(), signal.SIGTERM)
        run(hub, lambda: "stopped" in seen)
    assert running


def test_a_second_signal_ends_the_wait_for_what_runs(hub: Hub, seen: list[str], running: set[Request]) -> None:
    def retire() -> float:
        hub.call_later(0, os.kill, os.getpid(), signal.SIGTERM)
        return 3_600

    with between_events(hub, retire=retire):
        os.kill(os.getpid(), signal.SIGTERM)
        run(hub, lambda: "stopped" in seen)
    assert running


def test_what_the_first_signal_does_not_see_to_the_second_does(hub: Hub, seen: list[str]) -> None:
    stop = signal.getsignal(signal.SIGTERM)

    def once(*_: Any) -> None:
        seen.append("stopping")
        signal.signal(signal.SIGTERM, stop)

    signal.signal(signal.SIGTERM, once)
    with between_events(hub):
        os.kill(os.getpid(), signal.SIGTERM)
        loop = hub.create_loop()
        while not seen:
            next(loop)
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == ["stopping", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is stop
