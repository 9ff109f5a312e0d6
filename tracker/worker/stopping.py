"""When a worker that is told to stop begins to."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.worker import state
from kombu.asynchronous import Hub


@contextmanager
def between_events(
    hub: Hub | None, noticed: Callable[[], None] = lambda: None, number: int = signal.SIGTERM
) -> Iterator[None]:
    """While ``hub`` runs, a signal is handled between two of its events; ``noticed`` is called as soon as it comes.

    Celery stops a worker in the handler itself: where that comes in the middle of a child's result, half of the result
    is lost, and the child waits for 30 s, longer than supervisors do, for somebody to take it.
    """
    handler = signal.getsignal(number)
    if hub is None or not callable(handler):
        yield
        return
    noted = handled = False
    reader, writer = os.pipe()
    mine = os.getpid()

    def note(*_: Any) -> None:
        nonlocal noted
        if not noted and os.getpid() == mine:  # a child just forked has this handler too, for a moment
            noted = True
            noticed()
            os.write(writer, b"\0")

    def handle() -> None:
        nonlocal handled
        handled = True
        hub.remove_reader(reader)
        handler(number, None)
        state.maybe_shutdown()

    signal.signal(number, note)
    hub.add_reader(reader, handle)
    try:
        yield
    finally:
        if signal.getsignal(number) is note:  # and not what the handler has put there
            signal.signal(number, handler)
        hub.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        if noted and not handled:  # it came with the end of the loop
            handler(number, None)
