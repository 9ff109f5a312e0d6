"""Starts the heartbeats of a worker's main process and of a beat, see tracker/store/heartbeat.py."""

from typing import Any

from celery import Celery, bootsteps
from celery.signals import beat_init

from tracker.settings import settings
from tracker.store import heartbeat
from tracker.worker import alive


class Heartbeats(bootsteps.StartStopStep):
    """Starts when the pool has forked its processes, and before the worker connects to its broker."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        name = worker.hostname.partition("@")[0]
        queues = sorted(worker.app.amqp.queues.consume_from)
        heartbeat.begin(settings(), "worker", name, queues, alive.idle)


def install(app: Celery) -> None:
    app.steps["worker"].add(Heartbeats)


@beat_init.connect
def begin(**_: Any) -> None:
    heartbeat.begin(settings(), "beat", "beat", idle=alive.idle)
