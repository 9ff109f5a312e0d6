"""Tells the store every few seconds that this process runs, from a thread: a store that hangs holds nothing up."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.util import Finalize

from redis import Redis

from tracker.settings import Settings
from tracker.store import parts
from tracker.store.connection import connect
from tracker.store.parts import Part

#: Seconds between two heartbeats, and those that the store has to answer.
EVERY, PATIENCE = 5, 2


def begin(
    settings: Settings, kind: str, name: str, queues: Sequence[str] = (), idle: Callable[[], float] = lambda: 0
) -> None:
    """Sends heartbeats of this process until it ends; then forgets it. ``idle``: as in parts.Part.

    Call it when the process has forked its children: one that is forked while the thread connects might hang.
    """
    began, stopped = time.time(), threading.Event()
    redis = connect(settings.redis_url, tries=1, patience=PATIENCE, local=settings.redis_socket)

    def tell(send: Callable[[Redis, Part], None]) -> None:
        with suppress(Exception):  # the store is away, or refuses: the next heartbeat tries again
            send(redis, parts.this(kind, name, queues, began, idle()))

    def forever() -> None:
        while not stopped.is_set():
            tell(parts.write)
            stopped.wait(EVERY)
        tell(parts.remove)

    def end() -> None:
        stopped.set()
        thread.join(PATIENCE)

    thread = threading.Thread(target=forever, name="heartbeat", daemon=True)
    thread.start()
    # Not atexit, which the processes of an API server do not run at their end. Children that were forked do not run it.
    Finalize(None, end, exitpriority=0)
