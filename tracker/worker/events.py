"""Sends the events of a worker's tasks to Flower. None is lost, and a broker that is away delays nothing."""

from typing import Any

from celery.app import events
from celery.events import EventDispatcher


class Dispatcher(EventDispatcher):
    """Forgets only the events that it has sent, as long as its connection lasts.

    Celery's own also forgets events that it could not send, and events that another thread adds while it sends
    (https://github.com/celery/celery/issues/10434 and 6487).
    """

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        """Tries once, whatever the caller asks for: a heartbeat that retries until the broker is back delays a stop."""
        super()._publish(event, producer, routing_key)

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        with self.mutex:
            kept = self._outbound_buffer
            for _ in range(len(kept) if errors else 0):
                events, routing_key, _ = kept.popleft()
                self._publish(events, self.producer, routing_key)  # puts them back if it fails
            for group, waiting in list(self._group_buffer.items()) if groups else ():
                if taken := waiting[:]:
                    self._publish(taken, self.producer, f"{group}.multi")
                    del waiting[: len(taken)]


class Events(events.Events):
    """Celery's events with this dispatcher."""

    dispatcher_cls = Dispatcher
