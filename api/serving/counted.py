"""Counts all requests and their seconds, by route and status."""

from functools import cache, lru_cache
from wsgiref.types import WSGIEnvironment

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from tracker import counts

#: The label of a path that has no route. A path itself is no label: clients choose it.
OTHER = "other"
#: Paths whose routes are remembered, and the longest of them in characters: finding one takes 20 us.
REMEMBERED, LONGEST = 10_000, 100


class Counted:
    """Counts requests. ``routes``: those of the app."""

    def __init__(self, routes: Map):
        adapter = routes.bind("")

        def route(path: str, method: str) -> str:
            try:
                return str(adapter.match(path, method, return_rule=True)[0].rule)
            except HTTPException:  # not found, or another method
                return OTHER

        self._route = route
        self._remembered = lru_cache(REMEMBERED)(route)
        self._seconds = cache(counts.REQUESTS.labels)  # by route and status

    def add(self, environ: WSGIEnvironment, status: str, seconds: float) -> None:
        """Counts a request that was answered with ``status``, three digits, after so many ``seconds``."""
        path = environ["PATH_INFO"]
        find = self._remembered if len(path) <= LONGEST else self._route
        self._seconds(find(path, environ["REQUEST_METHOD"]), status).observe(seconds)
