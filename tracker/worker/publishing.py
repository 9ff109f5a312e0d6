"""Publishes tasks through Celery, many at a time, and asks how many wait in a queue."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery, Task
from kombu import Connection, Producer
from kombu.exceptions import BatchPublishError, ChannelError, ConnectionError, OperationalError

from tracker.errors import StoreError

#: Errors of any broker that is away or refuses something.
BROKER_ERRORS = (OperationalError, ConnectionError, ChannelError, BatchPublishError)
#: The reply code of a broker that has no such queue: its length is 0. Redis deletes empty queues.
NOT_FOUND = 404


def publish(task: Task, calls: Sequence[tuple[Any, ...]], **options: Any) -> None:
    """Publishes a message of ``task`` for each of ``calls``, its positional arguments.

    ``options``: those of ``apply_async``. On Redis 1,000 messages take one round trip, on RabbitMQ each takes one. If
    the broker is away, messages are published again, within the bounds of ``task_publish_retry_policy``: some may be
    published twice. Raises StoreError.
    """

    def send() -> None:
        _declare_queues(task.app, producer)
        with _cause_of_failed_batch(), producer.batch():
            for arguments in calls:
                # An empty ``declare``: Celery would declare the queue again with each message.
                task.apply_async(arguments, producer=producer, declare=(), **options)

    policy = task.app.conf.task_publish_retry_policy
    with _translated(), task.app.producer_pool.acquire(block=True) as producer:
        connection: Connection = producer.connection
        connection.ensure_connection(**policy)
        connection.ensure(producer, send, **policy)()


def queue_length(app: Celery, name: str) -> int:
    """Messages that wait in the queue ``name``. Raises StoreError."""

    def ask() -> int:
        try:
            with connection.channel() as channel:
                return int(channel.queue_declare(name, passive=True).message_count)
        except ChannelError as error:
            if int(error.reply_code or 0) != NOT_FOUND:
                raise
            return 0

    policy = app.conf.task_publish_retry_policy
    with _translated(), app.connection_or_acquire() as connection:
        connection.ensure_connection(**policy)
        length: int = connection.ensure(connection, ask, **policy)()
        return length


def _declare_queues(app: Celery, producer: Producer) -> None:
    """Declares all queues, once per connection: kombu forgets what was declared when it connects again."""
    if not producer.connection.declared_entities:
        for queue in app.conf.task_queues:
            producer.maybe_declare(queue)


@contextmanager
def _cause_of_failed_batch() -> Iterator[None]:
    """Raises the cause of a failed batch: kombu tries again after the errors of a connection only."""
    try:
        yield
    except BatchPublishError as error:
        raise error.__cause__ or error from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the errors of a broker that is away, or refuses a message, into StoreError."""
    try:
        yield
    except BROKER_ERRORS as error:
        raise StoreError(f"the broker does not take messages: {str(error).rstrip('.') or 'no answer'}") from error
