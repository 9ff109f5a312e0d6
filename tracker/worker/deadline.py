"""Ends a stopping process in time, even if store or broker hangs: it accepts connections and never answers.

While it stops, Celery calls them several times. Each call waits for the socket's timeout, or for ever.
"""

import os
import threading
import time
from contextlib import suppress
from functools import cache
from typing import NoReturn

import psutil
from redis import RedisError, TimeoutError

from tracker.errors import StoreError
from tracker.settings import Settings, settings
from tracker.store.connection import connect

#: Seconds that a worker has to stop by itself: more than celeryconfig's worker_soft_shutdown_timeout. If store and
#: broker answer by then, the worker may take up to LONGEST seconds.
GRACE, LONGEST = 6, 60


def hangs(settings: Settings) -> bool:
    """Whether the store is silent for a second. A store that refuses the connection is away and does not hang."""
    try:
        with connect(settings.redis_url, tries=1, patience=1, local=settings.redis_socket) as redis:
            redis.ping()
    except TimeoutError:
        return True
    except (RedisError, StoreError):
        return False
    return False


def broker_hangs() -> bool:
    """Whether the broker neither accepts nor refuses a new connection within a second."""
    from celery import current_app  # not above: the command start needs no Celery

    def connect() -> None:
        with suppress(Exception), current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0)

    asking = threading.Thread(target=connect, name="is the broker there", daemon=True)
    asking.start()
    asking.join(1)
    return asking.is_alive()


@cache  # starts only once
def begin() -> None:
    """Gives this process GRACE seconds. If store or broker hangs then, kills the process and its children.

    No task is lost: a task that was not acknowledged is delivered again.
    """
    threading.Thread(target=_end, name="deadline", daemon=True).start()


def _end() -> None:
    began = time.monotonic()
    time.sleep(GRACE)
    while not hangs(settings()) and not broker_hangs() and time.monotonic() - began < LONGEST:
        time.sleep(0.5)
    # Not to the log: its lock may be held.
    os.write(2, b"did not stop in time: the store or the broker does not answer. Exits now\n")
    end_process()


def end_process() -> NoReturn:
    """Kills the children of this process and ends it with status 1, whatever its other threads do."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
