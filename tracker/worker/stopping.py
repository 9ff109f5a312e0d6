"""How a worker stops: it takes no more messages and finishes what runs. Only then it stops Celery's way."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.worker import state
from kombu.asynchronous import Hub

#: Seconds between two looks at what still runs.
LOOK_EVERY = 0.05


@contextmanager
def between_events(
    hub: Hub | None,
    noticed: Callable[[], None] = lambda: None,
    retire: Callable[[], float] = lambda: 0,
    number: int = signal.SIGTERM,
) -> Iterator[None]:
    """While ``hub`` runs, the signal ``number`` is handled between two of its events.

    ``noticed`` is called as soon as the signal comes. ``retire`` is called between two events: it ends the taking of
    messages and returns for how many seconds the hub goes on while tasks run. A second signal ends that wait.

    Celery stops a worker in the signal's handler, and sleeps there for its soft shutdown. Meanwhile nobody reads the
    results of the children: a child whose result is lost, or read in half, waits for 30 s before it exits. That is
    longer than supervisors wait.
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
        if not noted and os.getpid() == mine:  # a child just forked has this handler too, for a moment
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
        if signal.getsignal(number) is note:  # and not what the handler has put there
            signal.signal(number, handler)
        hub.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        if noted and not handled:  # it came with the end of the loop
            handler(number, None)


def busy() -> bool:
    """Whether a task runs or is about to. One that waits for its time does not count: its message goes back."""
    return bool(state.active_requests) or any(not request.eta for request in state.reserved_requests)
