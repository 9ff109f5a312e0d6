"""The part of a Celery worker that takes messages, with three things done differently: which messages it takes, how it
sends events, and when it begins to stop."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.app import events
from celery.events import EventDispatcher
from celery.worker import consumer, state
from kombu.asynchronous import Hub

from tracker.worker import deadline
from tracker.worker.admission import Admission

#: Seconds between two messages of events: Flower shows a task this much later.
EVENTS_EVERY = 0.1


class Consumer(consumer.Consumer):
    """Celery's own sends the events of tasks at every turn of its loop, which takes half of the time of a worker's main
    process where tasks wait for answers and turns are short. This one sends what came in EVENTS_EVERY at once.
    """

    loop: Callable[..., None]
    _due = 0.0  # when what waits will have been sent, by time.monotonic

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loop = between_events(self.hub, deadline.begin)(self.loop)

    def start(self) -> None:
        """Takes messages until it is told to stop. From then on it has a deadline, whatever it waits for."""
        handler = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: Any) -> None:
            deadline.begin()
            if callable(handler):
                handler(number, frame)

        signal.signal(signal.SIGTERM, stop)
        super().start()

    def create_task_handler(self, *args: Any) -> Admission:
        """What is called with each message."""
        return Admission(self, super().create_task_handler(*args))

    def on_send_event_buffered(self) -> None:
        """An event waits to be sent."""
        now = time.monotonic()
        if self.hub and now >= self._due:
            self._due = now + EVENTS_EVERY
            self.hub.call_later(EVENTS_EVERY, self._flush_events)

    def shutdown(self) -> None:
        """Sends what waits, and ends."""
        self._flush_events()
        super().shutdown()


@contextmanager
def between_events(
    hub: Hub | None, noticed: Callable[[], None] = lambda: None, number: int = signal.SIGTERM
) -> Iterator[None]:
    """While ``hub`` runs, a signal is handled between two of its events; ``noticed`` is called as soon as it comes.

    Celery stops a worker in the handler itself: where that comes in the middle of a child's result, half of the result
    is lost, and the child waits for 30 s, longer than supervisors do, for somebody to take it.
    """
    handler = signal.getsignal(number)
    if hub is None or not callable(handler):
        yield
        return
    noted = handled = False
    reader, writer = os.pipe()
    mine = os.getpid()

    def note(*_: Any) -> None:
        nonlocal noted
        if not noted and os.getpid() == mine:  # a child just forked has this handler too, for a moment
            noted = True
            noticed()
            os.write(writer, b"\0")

    def handle() -> None:
        nonlocal handled
        handled = True
        hub.remove_reader(reader)
        handler(number, None)
        state.maybe_shutdown()

    signal.signal(number, note)
    hub.add_reader(reader, handle)
    try:
        yield
    finally:
        if signal.getsignal(number) is note:  # and not what the handler has put there
            signal.signal(number, handler)
        hub.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        if noted and not handled:  # it came with the end of the loop
            handler(number, None)


class Dispatcher(EventDispatcher):
    """Celery's own forgets what another thread of the pool adds while it sends, and what it could not send
    (https://github.com/celery/celery/issues/10434 and 6487). This one, as long as its connection lasts, forgets only
    what it has sent.
    """

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        """Tried once, whatever is asked for: a heartbeat that is tried until the broker is back holds up a stop."""
        super()._publish(event, producer, routing_key)

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        with self.mutex:
            kept = self._outbound_buffer
            for _ in range(len(kept) if errors else 0):
                events, routing_key, _ = kept.popleft()
                self._publish(events, self.producer, routing_key)  # keeps them again if it fails
            for group, waiting in list(self._group_buffer.items()) if groups else ():
                if taken := waiting[:]:
                    self._publish(taken, self.producer, f"{group}.multi")
                    del waiting[: len(taken)]


class Events(events.Events):
    """What Celery knows of events, with that dispatcher."""

    dispatcher_cls = Dispatcher
