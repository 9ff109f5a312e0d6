"""Notes in the store what waits in the queues, see store/queues.py. Threads do it, so that nothing waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from celery.signals import beat_init, before_task_publish, worker_ready
from redis import Redis

from tracker.clock import wall
from tracker.errors import StoreError
from tracker.settings import settings
from tracker.store import queues
from tracker.store.connection import connect
from tracker.worker.publishing import queue_length

log = logging.getLogger(__name__)

#: The header of a task with the time of its publication, in Unix seconds.
PUBLISHED = "published"
#: Seconds between two looks of a beat at the lengths, and between two notes of a worker.
LOOK_EVERY, NOTE_EVERY = 5, 1

#: Queue -> the latest publication among the tasks that this worker took and has not noted.
_taken: dict[str, float] = {}


@before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    headers[PUBLISHED] = wall()


def took(routing_key: str, headers: Mapping[str, Any]) -> None:
    """This worker took a task with these headers off its queue."""
    published = headers.get(PUBLISHED)
    if published is not None:
        queue = queue_of(routing_key)
        # A time ahead of ours would hide the age of all tasks until then.
        _taken[queue] = max(_taken.get(queue, 0), min(published, wall()))


def queue_of(routing_key: str) -> str:
    """The name of the queue. RabbitMQ writes a delay before it."""
    return routing_key.rpartition(".")[2]


@beat_init.connect
def watch(sender: Any, **_: Any) -> None:
    """Notes the lengths as long as this beat runs."""
    names = [queue.name for queue in sender.app.conf.task_queues]

    def look(redis: Redis) -> None:
        now = wall()
        queues.note_lengths(redis, {name: queue_length(sender.app, name) for name in names}, now)

    _repeat(look, LOOK_EVERY)


@worker_ready.connect
def note(**_: Any) -> None:
    """Notes what was taken as long as this worker runs."""

    def flush(redis: Redis) -> None:
        if found := {queue: _taken.pop(queue) for queue in list(_taken)}:
            queues.note_taken(redis, found)

    _repeat(flush, NOTE_EVERY)


def _repeat(work: Callable[[Redis], None], every: float) -> None:
    """Calls ``work`` in a thread. What fails is tried again: a store or a broker that is away is logged elsewhere."""

    def forever() -> None:
        redis = connect(settings().redis_url, tries=1, patience=3, local=settings().redis_socket)
        while True:
            try:
                with suppress(StoreError):
                    work(redis)
            except Exception:
                log.exception("cannot note what waits in the queues")
            time.sleep(every)

    threading.Thread(target=forever, name="queues", daemon=True).start()
