"""The part of a Celery worker that takes messages, with one thing done differently: how it sends events."""

import time

from celery.app import events
from celery.events import EventDispatcher
from celery.worker import consumer

#: Seconds between two messages of events: Flower shows a task this much later.
EVENTS_EVERY = 0.1


class Consumer(consumer.Consumer):
    """Celery's own sends the events of tasks at every turn of its loop, which takes half of the time of a worker's main
    process where tasks wait for answers and turns are short. This one sends what came in EVENTS_EVERY at once.
    """

    _due = 0.0  # when what waits will have been sent, by time.monotonic

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


class Dispatcher(EventDispatcher):
    """Celery's own forgets what another thread of the pool adds while it sends, and what it could not send
    (https://github.com/celery/celery/issues/10434 and 6487). This one forgets only what it has sent.
    """

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
