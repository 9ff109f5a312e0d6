"""Bounds the bodies of requests in time and number, so that slow ones do not hold up other requests.

Granian answers with few threads, and a thread that reads a body waits for it without end. The read has no timeout.
Another thread cannot take it over: granian removes the body when the app returns, and holds the GIL while it waits for
a read in progress. Only the end of the connection ends a read. So one thread of a process may read at a time, and a
timer breaks the connection of a body that is late.

WSGI middleware cannot do this. It gets ``environ`` and ``start_response``, and in granian neither reaches the
connection: ``start_response`` only notes the status and the header fields, which granian sends after the app has
returned. The app cannot return while its thread waits in a read. Only ``proto``, which granian keeps from the app, can
answer before that.
"""

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from threading import Lock, Timer
from typing import Any

from apiflask import abort
from granian.server import mp

from api.serving import access, problems

#: Seconds for a body to arrive. It has at most 64 kB.
PATIENCE = 2.0
#: Seconds to wait for another read. A read that takes longer is a slow one.
QUICK = 0.05
#: Seconds in which granian sends an answer before the connection is broken.
SENDING = 0.1

#: The function of ``granian.server.mp`` that turns a WSGI app into a request handler. It is not documented.
CALL_WRAP = "_wsgi_call_wrap"

Run = Callable[[Any, dict[str, Any]], Any]


def install() -> None:
    """Bounds the bodies of all granian workers that this process starts.

    It wraps the undocumented function CALL_WRAP, because only that one gets granian's ``proto``; the module's docstring
    says why that is needed. Check it when granian's pinned version changes: test_slow.py fails if it does not hold.
    """
    make = vars(mp)[CALL_WRAP]

    def make_bounded(*arguments: Any) -> Run:
        return bounded(make(*arguments), Place())

    setattr(mp, CALL_WRAP, make_bounded)


def bounded(run: Run, place: "Place") -> Run:
    """Wraps ``run``: a request with a body gets a bounded ``wsgi.input``."""

    def call(proto: Any, scope: dict[str, Any]) -> None:
        if "CONTENT_LENGTH" in scope:
            scope["wsgi.input"] = Body(scope["wsgi.input"], int(scope["CONTENT_LENGTH"]), proto, place)
        run(proto, scope)

    return call


class Place:
    """Lets one thread read at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = 0.0

    def take(self) -> bool:
        """Takes the place, or returns False if the other read has not ended within QUICK seconds of its start."""
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
        self._ended = Lock()  # taken by whichever ended the read: the body or the timer
        self._whole: BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes of the body. Ends the request with a problem if the body does not come."""
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
            found: bytes = self._stream.read(self._length)
        finally:
            self._place.leave()
            timer.cancel()
        if len(found) < self._length or not self._ended.acquire(blocking=False):
            abort(400, detail="The body ended early.")  # the connection has ended, so nobody reads this
        return found

    def _give_up(self) -> None:
        """Answers 408 and breaks the connection: granian breaks it if an answer is shorter than its Content-Length."""
        if not self._ended.acquire(blocking=False):
            return
        body = problems.body(408, f"The body did not arrive within {PATIENCE:g} seconds.")
        fields = [("Content-Type", problems.MIMETYPE), ("Content-Length", str(len(body) + 1)), ("Connection", "close")]

        def parts() -> Iterator[bytes]:
            yield body
            time.sleep(SENDING)

        self._proto.response_iter(408, [*fields, *access.SECURITY, access.POLICY], parts())
