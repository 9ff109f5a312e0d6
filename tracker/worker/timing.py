"""Counts Celery's times by the store's clock (clock.py): when a task may begin, and when it expires.

A worker with a fast clock would drop every task as expired. A worker with a slow clock would start delayed tasks too
late.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Task
from celery.worker.request import Request

from tracker import clock
from tracker.worker.readable import readable


def now() -> datetime:
    """The time from which Celery counts the delay and the expiry of a task that it sends."""
    return datetime.fromtimestamp(clock.wall(), UTC)


class OurRequest(Request):
    """Converts both times to this machine's clock, because Celery compares them with that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ahead = timedelta(seconds=clock.ahead())
        if self._eta:
            self._eta += ahead
        if self._expires:
            self._expires += ahead


class OurTask(Task):
    Request = "tracker.worker.timing:OurRequest"

    def apply_async(self, args: Any = None, *others: Any, countdown: float | None = None, **options: Any) -> Any:
        """Delays a task by a second or more: Celery raises ValueError for a shorter delay on RabbitMQ."""
        options.setdefault("argsrepr", readable(args or ()))
        return super().apply_async(args, *others, countdown=countdown and max(countdown, 1), **options)
