"""The tracker's tasks, and one more that kills its process, as a system does that is short of memory."""

import os
import signal

from tracker.tasks import app, store

__all__ = ["app"]


@app.task(name="tracker.tasks.die")
def die() -> None:
    """Counts its run, then kills its own process."""
    store().redis.incr("deaths")
    os.kill(os.getpid(), signal.SIGKILL)
