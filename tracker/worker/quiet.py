"""While the store or the broker is away or refuses writes, a log gets one line, not a stack for each failure."""

import logging
import time

from redis import RedisError

from tracker.errors import StoreError
from tracker.worker.publishing import BROKER_ERRORS

#: Seconds between two lines about the same failure.
EVERY = 60


class OneLine(logging.Filter):
    """Removes the stack from a record about a failure of store or broker. Drops a record that repeats a recent one."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str, type], float] = {}  # time.monotonic; bounded by the number of places that log

    def filter(self, record: logging.LogRecord) -> bool:
        error = _failure(record)
        if not error:
            return True
        place, now = (record.name, str(record.msg), type(error)), time.monotonic()
        if now - self._said.get(place, -EVERY) < EVERY:
            return False
        self._said[place] = now
        if record.exc_info:
            record.msg, record.args = f"{record.getMessage()} ({error})", None
            record.exc_info = record.exc_text = None
        return True


def _failure(record: logging.LogRecord) -> BaseException | None:
    """The failure of store or broker that ``record`` is about."""
    kinds: tuple[type[BaseException], ...] = (StoreError, RedisError, *BROKER_ERRORS)
    if record.name.startswith("celery.worker.consumer"):  # it speaks with the broker alone
        kinds += (OSError,)
    told = record.args if isinstance(record.args, tuple) else ()
    named = [record.exc_info[1] if record.exc_info else None, *told]
    return next((each for each in named if isinstance(each, kinds)), None)
