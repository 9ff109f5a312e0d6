"""The part of a Celery worker that takes messages, with one thing done differently: when it sends events."""

import time

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
