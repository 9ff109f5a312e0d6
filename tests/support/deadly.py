"""The tracker's tasks and one that kills whoever works on it, as a system short of memory does."""

import os
import signal

from tracker.tasks import app, store

__all__ = ["app"]


@app.task(name="tracker.tasks.die")
def die() -> None:
    """Counts, and is killed."""
    store().redis.incr("deaths")
    os.kill(os.getpid(), signal.SIGKILL)
