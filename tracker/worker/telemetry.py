"""Begins reports and traces in each process of Celery, see tracker/telemetry.py."""

from typing import Any

from celery.signals import beat_init, worker_init, worker_process_init, worker_process_shutdown

from tracker import telemetry
from tracker.settings import settings


@worker_init.connect
def begin_main(**_: Any) -> None:
    """In a worker's main process, before it forks. Its tasks run there only if it has threads."""
    telemetry.report_errors(settings())
    if settings().worker_pool == "threads":
        telemetry.trace(settings())


@worker_process_init.connect
def begin_child(**_: Any) -> None:
    telemetry.trace(settings())


@worker_process_shutdown.connect
def end_child(**_: Any) -> None:
    telemetry.end(settings())


@beat_init.connect
def begin_beat(**_: Any) -> None:
    telemetry.begin(settings())
