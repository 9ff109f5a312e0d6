"""The part of a Celery worker that takes messages, with six things done differently: which messages it takes, how many,
how it sends events, how it connects, when it begins to stop, and that it shows that it is at work."""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.worker import consumer, state
from kombu import Connection, Message

from tracker.settings import settings
from tracker.worker import alive, deadline, slots
from tracker.worker.admission import Admission
from tracker.worker.stopping import between_events
from tracker.worker.watchdog import Watchdog

#: Seconds between two messages of events: Flower shows a task this much later.
EVENTS_EVERY = 0.1
#: Seconds between two tries to connect. Celery's own pauses grow to 30 s.
CONNECT_EVERY = 3
#: A worker that can take a message asks Redis for one, and gets an answer within a second, even if there is none.
ANSWERED_WITHIN = 5


class Consumer(consumer.Consumer):
    """Celery's own sends the events of tasks at every turn of its loop, which takes half of the time of a worker's main
    process where tasks wait for answers and turns are short. This one sends what came in EVENTS_EVERY at once.
    """

    loop: Callable[..., None]
    _due = 0.0  # when what waits will have been sent, by time.monotonic

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loop = between_events(self.hub, deadline.begin, self.retire)(self.loop)

    def start(self) -> None:
        """Takes messages until it is told to stop. From then on it has a deadline, whatever it waits for."""
        handler = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: Any) -> None:
            deadline.begin()
            if callable(handler):
                handler(number, frame)

        signal.signal(signal.SIGTERM, stop)
        slots.install()
        self._queues = list(self.app.amqp.queues.consume_from)  # a queue that is cancelled leaves Celery's own list
        self._watchdog = Watchdog(self.app, "takes no messages")
        self._watchdog.begin()
        try:
            super().start()
        finally:
            self._watchdog.end()

    def retire(self) -> float:
        """Takes no more messages. Returns for how many seconds what runs may go on; Celery must not wait once more."""
        if self.task_consumer:
            self.task_consumer.cancel()
        alive.end(settings().data_dir, "worker")
        seconds: float = self.app.conf.worker_soft_shutdown_timeout
        self.app.conf.worker_soft_shutdown_timeout = 0
        return seconds

    def register_with_event_loop(self, hub: Any) -> None:
        """Called before each loop: Celery forgets the timers when it loses its connection."""
        super().register_with_event_loop(hub)
        hub.call_soon(self._show)
        hub.call_repeatedly(alive.EVERY, self._show)

    def perform_pending_operations(self) -> None:
        """Called at each turn of a loop without timers: some other brokers need that loop."""
        super().perform_pending_operations()
        if not self.hub:
            self._show()

    def _show(self) -> None:
        fault = self._fault()
        self._watchdog.hears(fault)
        if not fault:
            alive.show(settings().data_dir, "worker")

    def _fault(self) -> str:
        """Why no message can reach this worker; empty if one can."""
        consumer = self.task_consumer
        if not consumer:
            return "it has no consumer"
        if cancelled := [queue for queue in self._queues if not consumer.consuming_from(queue)]:
            return f"its consumer of {', '.join(cancelled)} was cancelled"
        channel = consumer.channel
        if not hasattr(channel, "_brpop_sent_at"):  # not Redis: heartbeats end a dead connection to RabbitMQ
            return ""
        full = state.reserved_requests and not channel.qos.can_consume()
        if full or time.monotonic() - (channel._brpop_sent_at or 0) < ANSWERED_WITHIN:
            return ""
        return "Redis does not answer it" if channel._in_poll else "it asks Redis for no messages"

    def connect(self) -> Connection:
        """Connects, and declares the queues of all workers: RabbitMQ binds each to its delays as soon as one starts."""
        connection = super().connect()
        for queue in self.app.conf.task_queues:
            queue(connection.default_channel).declare()
        return connection

    def ensure_connected(self, conn: Connection) -> Connection:
        """Tries until it is connected, also while RabbitMQ refuses because it is still starting."""
        conn.recoverable_connection_errors = conn.connection_errors
        often = partial(conn.ensure_connection, interval_start=CONNECT_EVERY, interval_step=0)
        conn.ensure_connection = often  # type: ignore[method-assign]
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any) -> Admission:
        """What is called with each message."""
        self._admission = Admission(self, super().create_task_handler(*args))
        return self._admission

    def on_decode_error(self, message: Message, error: Exception) -> None:
        """What is called with each message that kombu cannot read."""
        self._admission.refuse(message, f"not readable: {type(error).__name__}")

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
        alive.end(settings().data_dir, "worker")
