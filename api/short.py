"""The short way to a series: what watchers ask again and again is answered before Flask, which takes a third of it.

It says the same as the resource in metrics.py. Whatever else is asked, or does not end well, goes to Flask.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from api.answer import JSON, best_type, dumps
from api.cache import KEEP
from api.schemas import SeriesQuery
from api.series import show
from tracker.errors import BadId, StoreError
from tracker.models import Metric
from tracker.settings import Settings
from tracker.store import Store

PREFIX = "/v1/metrics/"
QUERY = re.compile(r"(?:since=([0-9]{1,13}))?", re.ASCII)


class Short:
    """WSGI: ``app``, but for GET of ``/v1/metrics/{id}`` as JSON, whole or ``since=``."""

    def __init__(self, app: Callable, settings: Settings, store: Store):
        self.app = app
        self.settings = settings
        self.store = store

    def __call__(self, environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        query = QUERY.fullmatch(environ.get("QUERY_STRING", ""))
        if query and environ["PATH_INFO"].startswith(PREFIX) and environ["REQUEST_METHOD"] == "GET":
            body = self._body(environ, query[1])
            if body:
                start_response("200 OK", [("Content-Type", JSON)])
                return [body]
        return self.app(environ, start_response)

    def _body(self, environ: dict[str, Any], since: str | None) -> bytes | None:
        if best_type(environ.get("HTTP_ACCEPT", "")) != JSON:
            return None
        try:
            metric = Metric.parse(environ["PATH_INFO"].removeprefix(PREFIX))
            found = show(metric, SeriesQuery.model_validate({"since": since}), self.store, self.settings)
        except (BadId, ValidationError, StoreError):
            return None
        if not found:
            return None
        environ[KEEP] = found.keep
        return dumps(found.document)
