"""Counts all requests and their seconds, by route and status."""

import time
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from tracker import counts

#: The label of a path that has no route. A path itself is no label: clients choose it.
OTHER = "other"
#: Paths whose routes are remembered, and the longest of them in characters: finding one takes 20 us.
REMEMBERED, LONGEST = 10_000, 100


class Counted:
    """WSGI middleware around all others. ``routes``: those of the app."""

    def __init__(self, app: WSGIApplication, routes: Map):
        self.app = app
        adapter = routes.bind("")

        def route(path: str, method: str) -> str:
            try:
                return str(adapter.match(path, method, return_rule=True)[0].rule)
            except HTTPException:  # not found, or another method
                return OTHER

        self._route = route
        self._remembered = lru_cache(REMEMBERED)(route)
        self._seconds = cache(counts.REQUESTS.labels)  # by route and status

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        status = "500"  # if the app fails

        def started(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal status
            status = line[:3]
            return start_response(line, headers, exc_info)

        try:
            return self.app(environ, started)
        finally:
            find = self._remembered if len(path) <= LONGEST else self._route
            self._seconds(find(path, method), status).observe(time.perf_counter() - began)
