"""How the events of a worker's tasks reach Flower: none is lost, and a broker that is away holds up nothing."""

from typing import Any

from celery.app import events
from celery.events import EventDispatcher


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
