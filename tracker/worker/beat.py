"""The schedule of a beat. It uses the store's clock, and shows that it sends ticks. It logs little while it cannot."""

import logging
import time
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.signals import beat_init

from tracker import clock
from tracker.settings import settings
from tracker.store import skew
from tracker.worker import alive
from tracker.worker.watchdog import Watchdog

log = logging.getLogger(__name__)

#: Seconds between two lines about ticks that cannot be sent. A line for each tick would fill the log.
SAID_EVERY = 60


class OurScheduler(Scheduler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unsent, self._say_from = 0, 0.0  # by time.monotonic
        self._sends = False  # whether the last tick was sent
        skew.keep(settings())  # before the entries note the time
        super().__init__(*args, **kwargs)
        self.watchdog = Watchdog(self.app, "sends no ticks")

    def tick(self, *args: Any, **kwargs: Any) -> float:
        before = clock.ahead()
        skew.keep(settings())
        if clock.ahead() != before:  # an entry that was last due in the future would wait
            for entry in self.schedule.values():
                entry.last_run_at = min(entry.last_run_at, self.app.now())
            self._heap = None
        wait: float = super().tick(*args, **kwargs)
        if self._sends:
            alive.show(settings().data_dir, "beat")
        self.watchdog.hears()
        return wait

    def close(self) -> None:
        """Called when the beat stops."""
        self.watchdog.end()
        super().close()
        alive.end(settings().data_dir, "beat")

    def _ensure_connected(self) -> Any:
        """A connection that opens with the first tick: a beat goes on while the broker is away or refuses it."""
        return self.connection

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Sends a tick. Drops a tick that cannot be sent: the next one does its work."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:
            self._sends = False
            self._unsent += 1
            if time.monotonic() >= self._say_from:
                log.error("ticks not sent: %d, the last: %s", self._unsent, error)
                self._unsent, self._say_from = 0, time.monotonic() + SAID_EVERY
        else:
            self._sends = True
            log.debug("%s sent", entry.name)


@beat_init.connect
def watch(sender: Any, **_: Any) -> None:
    sender.scheduler.watchdog.begin()
