"""A process that was told to stop ends in time, also while the store hangs: it accepts connections and never answers.

Celery's way to stop asks the store several times, and each time waits for as long as the socket's timeout, or for ever.
"""

import os
import threading
import time
from contextlib import suppress
from functools import cache

import psutil
from redis import RedisError, TimeoutError

from tracker.errors import StoreError
from tracker.settings import Settings, settings
from tracker.store.connection import connect

#: Seconds a worker has to stop by itself: more than celeryconfig's worker_soft_shutdown_timeout. If the store still
#: answers then it may go on, up to LONGEST.
GRACE, LONGEST = 6, 60


def hangs(settings: Settings) -> bool:
    """Whether the store keeps silent for a second. One that refuses the connection does not hang: it is away."""
    try:
        with connect(settings.redis_url, tries=1, patience=1, local=settings.redis_socket) as redis:
            redis.ping()
    except TimeoutError:
        return True
    except (RedisError, StoreError):
        return False
    return False


@cache  # once
def begin() -> None:
    """From now on this process has GRACE seconds. Then, if the store hangs, it ends and takes its children along.

    No task is lost: a task that was not acknowledged is delivered again.
    """
    threading.Thread(target=_end, name="deadline", daemon=True).start()


def _end() -> None:
    began = time.monotonic()
    time.sleep(GRACE)
    while not hangs(settings()) and time.monotonic() - began < LONGEST:
        time.sleep(0.5)
    os.write(2, b"not stopped in time: the store does not answer. Ending at once\n")  # the log's lock may be held
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
