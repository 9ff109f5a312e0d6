"""Bodies of requests, bounded in time and number: however slowly they come, others are answered.

Granian has few threads to answer with, and a thread that reads a body waits for it without end. Its read knows no
timeout, and cannot be left to another thread either: granian takes the body away when the app returns, and waits for a
read that is under way, with the GIL. What ends a read is the end of its connection. So one thread of a process may read
at a time, and a timer breaks the connection of a body that has not come by then.
"""

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from threading import Lock, Timer
from typing import Any

from apiflask import abort
from granian.server import mp

from api.serving import access, problems

#: Seconds for a body to come. It has at most 64 kB.
PATIENCE = 2.0
#: Seconds to wait for another read: for that long it may be of a body that is on its way, and not a slow one.
QUICK = 0.05
#: Seconds for granian to send an answer before the connection is broken.
SENDING = 0.1

Run = Callable[[Any, dict[str, Any]], Any]


def install() -> None:
    """Bounds the bodies of all granian workers that this process starts to serve.

    Ending a read takes granian's ``proto``, which a WSGI app is not given. So this wraps the function that granian
    makes of an app. That function is not documented: look here when granian's pinned version changes.
    """
    make = mp._wsgi_call_wrap

    def make_bounded(*arguments: Any) -> Run:
        return bounded(make(*arguments), Place())

    mp._wsgi_call_wrap = make_bounded  # type: ignore[assignment]


def bounded(run: Run, place: "Place") -> Run:
    """``run``, with a bounded ``wsgi.input`` where a request has a body."""

    def call(proto: Any, scope: dict[str, Any]) -> None:
        if "CONTENT_LENGTH" in scope:
            scope["wsgi.input"] = Body(scope["wsgi.input"], int(scope["CONTENT_LENGTH"]), proto, place)
        run(proto, scope)

    return call


class Place:
    """Where one thread at a time may read."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = 0.0

    def take(self) -> bool:
        """False if a slow read is under way."""
        taken = self._lock.acquire(timeout=max(0.0, self._taken + QUICK - time.monotonic()))
        if taken:
            self._taken = time.monotonic()
        return taken

    def leave(self) -> None:
        self._lock.release()


class Body:
    """``wsgi.input`` of a request whose body has ``length`` bytes. Granian's is read once, as a whole."""

    def __init__(self, stream: Any, length: int, proto: Any, place: Place):
        self._stream, self._length, self._proto, self._place = stream, length, proto, place
        self._ended = Lock()  # held by what ended the read: the body, or the timer
        self._whole: BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes of the body. Ends the request if the body does not come."""
        if self._whole is None:
            self._whole = BytesIO(self._read() if self._length else b"")
        return self._whole.read(size)

    def _read(self) -> bytes:
        if not self._place.take():
            abort(
                503, detail="Another request is still being read. Try again in a second.", headers={"Retry-After": "1"}
            )
        timer = Timer(PATIENCE, self._give_up)
        timer.start()
        try:
            found = self._stream.read(self._length)
        finally:
            self._place.leave()
            timer.cancel()
        if len(found) < self._length or not self._ended.acquire(blocking=False):
            abort(400, detail="The body ended early.")  # nobody reads this
        return found

    def _give_up(self) -> None:
        """Answers 408, and breaks the connection: an answer shorter than it says is what granian does that for."""
        if not self._ended.acquire(blocking=False):
            return
        body = problems.body(408, f"The body did not come within {PATIENCE:g} seconds.")
        fields = [("Content-Type", problems.MIMETYPE), ("Content-Length", str(len(body) + 1)), ("Connection", "close")]

        def parts() -> Iterator[bytes]:
            yield body
            time.sleep(SENDING)

        self._proto.response_iter(408, [*fields, *access.SECURITY, access.POLICY], parts())
