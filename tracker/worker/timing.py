"""Celery's times, told by the store's clock (clock.py): when a task may begin, and when it expires.

A worker whose clock is ahead would throw every task away as expired; one that is behind would hold back
each that waits.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Task
from celery.worker.request import Request

from tracker import clock


def now() -> datetime:
    """What Celery counts from where it sends a task that waits or expires."""
    return datetime.fromtimestamp(clock.wall(), UTC)


class OurRequest(Request):
    """Celery compares both times with this machine's clock. So they are told by this machine's clock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ahead = timedelta(seconds=clock.ahead())
        if self._eta:
            self._eta += ahead
        if self._expires:
            self._expires += ahead


class OurTask(Task):
    Request = "tracker.worker.timing:OurRequest"
