"""Ends a worker or a beat that runs and does not do its work. Then whatever supervises it starts it again.

Such a process has a process id and a connection, so no supervisor notices: its loop hangs, or its consumer was
cancelled, or its connection is dead and nobody told it (https://github.com/celery/celery/issues/8030, 8091 and 4453).
"""

import logging
import sys
import threading
import traceback
from pathlib import Path

from celery import Celery

from tracker.worker import alive, deadline

log = logging.getLogger(__name__)

#: Seconds between two looks: twice as long as between two signs of work.
EVERY = 4
#: Looks in a row without a sign of work, after which a process ends: 72 s. A worker whose connections died silently
#: needs a minute at most until it knows of each and has connected again. Looks are counted, not seconds: while the
#: machine or the process sleeps, nobody looks.
LOOKS = 18


class Watchdog:
    """Looks after this process, from a thread. ``lacks``: what it does not do then, for the log."""

    def __init__(self, app: Celery, lacks: str):
        self._app, self._lacks = app, lacks
        self._said: str | None = None  # since the last look
        self._ended = threading.Event()

    def begin(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def end(self) -> None:
        """From now on the process may take its time: it stops."""
        self._ended.set()

    def hears(self, fault: str = "") -> None:
        """The loop of this process turns. ``fault``: why it does not do its work all the same."""
        self._said = fault

    def _watch(self) -> None:
        idle = 0
        while not self._ended.wait(EVERY):
            said, self._said = self._said, None
            # While the broker is away or hangs, a new process could do no better.
            idle = 0 if said == "" or not self._broker_answers() else idle + 1
            if idle == LOOKS:
                break
            alive.tell_systemd()
        if not self._ended.is_set():
            self._end_process(f"its loop hangs: {_calls()}" if said is None else said)

    def _broker_answers(self) -> bool:
        """Whether the broker, or one of its servers, takes a new connection. While it hangs, so does this."""
        try:
            with self._app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=len(connection.alt), interval_start=0, interval_step=0)
        except Exception:  # each broker has its own
            return False
        return True

    def _end_process(self, why: str) -> None:
        message = "%s, though the broker answers: %s. Ends now, to be started again"
        # What hangs may hold the log's lock.
        telling = threading.Thread(target=log.critical, args=(message, self._lacks, why), daemon=True)
        telling.start()
        telling.join(2)
        deadline.end_process()


def _calls() -> str:
    """The innermost calls of the main thread, e.g. ``brpop (redis.py:1492), get (redis.py:901)``."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    calls = [(each.f_code, line) for each, line in traceback.walk_stack(frame)]
    return ", ".join(f"{code.co_name} ({Path(code.co_filename).name}:{line})" for code, line in calls[:3])
