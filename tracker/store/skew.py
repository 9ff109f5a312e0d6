"""Compares this machine's clock with the store's, so that a wrong clock does no harm; see clock.py."""

import logging
import threading
import time

from tracker import clock
from tracker.errors import StoreError
from tracker.settings import Settings
from tracker.store.connection import connect, translated

log = logging.getLogger(__name__)

#: Seconds between two comparisons, and the difference in seconds that is ignored: ticks and budgets allow for it.
EVERY, TOLERATED = 10, 2

_due = 0.0  # by time.monotonic


def keep(settings: Settings) -> None:
    """Compares the clocks, at most every EVERY seconds. The last result stays while the store is away."""
    global _due
    if time.monotonic() < _due:
        return
    _due = time.monotonic() + EVERY
    try:
        found = correction(measure(settings))
    except StoreError:
        return
    if bool(found) != bool(clock.ahead()):
        if found:
            log.warning("this machine's clock differs by %+.1f s from the store's, which is used: set it right", found)
        else:
            log.warning("this machine's clock agrees with the store's again")
    clock.set_ahead(found)


def measure(settings: Settings) -> float:
    """Seconds that this machine's clock is ahead of the store's. Raises StoreError."""
    # Its own connection: a worker compares before it forks, and its children must not share a connection.
    with translated(), connect(settings.redis_url, tries=1, patience=1, local=settings.redis_socket) as redis:
        redis.time()  # connects, so that the next call is one short exchange; a PING is refused while the disk is full
        sent = time.time()
        seconds, microseconds = redis.time()
        received = time.time()
    return float((sent + received) / 2 - seconds - microseconds / 1e6)


def correction(ahead: float) -> float:
    """Seconds to subtract from a clock that is ``ahead`` seconds ahead of the store's; 0 if that is TOLERATED."""
    return ahead if abs(ahead) > TOLERATED else 0.0


def watch(settings: Settings) -> None:
    """Compares the clocks in a thread as long as this process runs."""

    def forever() -> None:
        while True:
            keep(settings)
            time.sleep(EVERY)

    keep(settings)
    threading.Thread(target=forever, name="skew", daemon=True).start()
