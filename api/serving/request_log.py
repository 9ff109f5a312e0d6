"""Gives each request an id, counts it, and logs the requests that somebody may ask about."""

import logging
import random
import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from api.serving.counted import Counted
from tracker import logs

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
#: An id that a client or a proxy may give. Any other is replaced, as it goes into the log and into the answer.
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Seconds from which a request is worth a warning.
SLOW = 1
#: Characters of a path that the log shows. The query is left out: it may hold what a client keeps secret.
SHOWN = 200


class RequestLog:
    """WSGI middleware around all others. All that is logged in a request has its id, and so has its answer.

    ``counted``: where each request is counted.
    """

    def __init__(self, app: WSGIApplication, counted: Counted):
        self.app, self.counted = app, counted

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began, told = time.perf_counter(), "500"  # if the app fails
        given = environ.get("HTTP_X_REQUEST_ID", "")
        id = given if WELL_FORMED.fullmatch(given) else f"{random.getrandbits(64):016x}"

        def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal told
            told = status[:3]
            return start_response(status, [*headers, (HEADER, id)], exc_info)

        with logs.about(request_id=id):
            try:
                return self.app(environ, started)
            finally:
                seconds = time.perf_counter() - began
                self.counted.add(environ, told, seconds)
                _log(environ, int(told), seconds)


def _log(environ: WSGIEnvironment, status: int, seconds: float) -> None:
    level = logging.DEBUG
    if status >= 500 or seconds >= SLOW:
        level = logging.WARNING
    elif status >= 400:
        level = logging.INFO
    if log.isEnabledFor(level):
        path = quote(environ["PATH_INFO"].encode("latin-1"), safe="/:,.@*")[:SHOWN]
        more = {"ms": round(1_000 * seconds), "client": environ.get("REMOTE_ADDR")}
        log.log(level, "%d %s %s", status, environ["REQUEST_METHOD"], path, extra=more)
