"""How a worker stops: it takes no more messages and finishes the running tasks. Then it stops as Celery does."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.worker import state
from kombu.asynchronous import Hub

#: Seconds between two checks for running tasks.
LOOK_EVERY = 0.05


@contextmanager
def between_events(
    hub: Hub | None,
    noticed: Callable[[], None] = lambda: None,
    retire: Callable[[], float] = lambda: 0,
    number: int = signal.SIGTERM,
) -> Iterator[None]:
    """While ``hub`` runs, handles the signal ``number`` between two of its events.

    Calls ``noticed`` as soon as the signal comes, and ``retire`` between two events. ``retire`` stops the worker from
    taking messages. It returns for how many seconds the hub may go on while tasks run. A second signal ends that wait.

    Celery stops a worker in the signal's handler, and sleeps there for its soft shutdown. Meanwhile nothing reads the
    results of the children. A child whose result is lost, or half read, waits for 30 s before it exits. That is longer
    than supervisors wait.
    """
    handler = signal.getsignal(number)
    if hub is None or not callable(handler):
        yield
        return
    noted = handled = False
    until = 0.0
    reader, writer = os.pipe()
    mine = os.getpid()

    def note(*_: Any) -> None:
        nonlocal noted, until
        until = 0.0
        if not noted and os.getpid() == mine:  # a child just forked has this handler for a moment
            noted = True
            noticed()
            os.write(writer, b"\0")

    def begin() -> None:
        nonlocal until
        hub.remove_reader(reader)
        until = time.monotonic() + retire()
        go_on()

    def go_on() -> None:
        nonlocal handled
        if busy() and time.monotonic() < until:
            hub.call_later(LOOK_EVERY, go_on)
            return
        handled = True
        handler(number, None)
        state.maybe_shutdown()

    signal.signal(number, note)
    hub.add_reader(reader, begin)
    try:
        yield
    finally:
        if signal.getsignal(number) is note:  # the handler may have set another one
            signal.signal(number, handler)
        hub.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        if noted and not handled:  # the signal came at the end of the loop
            handler(number, None)


def busy() -> bool:
    """Whether a task runs or is about to. A task that waits for its time does not count: its message goes back."""
    return bool(state.active_requests) or any(not request.eta for request in state.reserved_requests)
