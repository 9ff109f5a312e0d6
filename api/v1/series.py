"""Answers ``/metrics/{id}``: what did one metric do in the last 24 hours?

``FastPath`` answers plain requests, which are most, without Flask: Flask is a third of the cost. ``series`` answers the
others, and says what is wrong with a bad one. Both get their bytes from ``answer``.
"""

import re
from http import HTTPStatus

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import ValidationError

from api.serving import cache
from api.serving.answer import CSV, JSON, CachePolicy, Rendered, best_type, dumps
from api.serving.problems import documented
from api.v1 import context, rows, schemas
from api.v1.slices import csv, cut
from tracker.errors import BadId, StoreError
from tracker.models import Metric
from tracker.settings import Settings
from tracker.store.series import Store

bp = APIBlueprint("series", __name__, tag="Metrics")

PREFIX = "/v1/metrics/"
#: A plain query is empty or has ``since`` alone.
QUERY = re.compile(r"(?:since=([0-9]{1,13}))?", re.ASCII)


class FastPath:
    """Answers a plain GET of ``/v1/metrics/{id}`` as JSON, without Flask."""

    def __init__(self, settings: Settings, store: Store):
        self.settings = settings
        self.store = store

    def __call__(self, path: str, query: str, type: str) -> Rendered | None:
        """The answer as ``type``, or None: then Flask answers the request."""
        plain = QUERY.fullmatch(query)
        if not plain or type != JSON or not path.startswith(PREFIX):
            return None
        try:
            metric = Metric.parse(path.removeprefix(PREFIX))
            return answer(
                metric, schemas.SeriesQuery.model_validate({"since": plain[1]}), JSON, self.store, self.settings
            )
        except (BadId, ValidationError, StoreError):
            return None


@bp.get("/metrics/<id>")
@bp.input(schemas.SeriesQuery, location="query", arg_name="query")
@bp.output(schemas.Series)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def series(id: str, query: schemas.SeriesQuery) -> Response:
    """What did this metric do in the last 24 hours?

    Values and statistics are of this moment. Ranks are from the last evaluation.
    """
    try:
        metric = Metric.parse(id)
    except BadId as error:
        context.refuse_unknown(str(error))
    type = best_type(request.headers.get("Accept", ""))
    found = answer(metric, query, type, context.store(), context.settings())
    if not found:
        context.refuse_unknown(f"There is no metric {metric.id}")
    cache.keep(found.keep)
    return Response(found.body, content_type=type)


def answer(metric: Metric, query: schemas.SeriesQuery, type: str, store: Store, settings: Settings) -> Rendered | None:
    """The series of ``metric`` as ``type``, JSON or CSV; None if there is no such metric. Raises StoreError."""
    now = settings.clock.now()
    view = store.view(metric.market, [metric], settings.sources, now)
    [standing] = view.standings
    if not view.market and not standing:
        return None
    keep = CachePolicy.of(view, [metric], now)
    shown = cut(view.values, view.final, store.ring, now, query)
    if type == CSV:
        return Rendered(csv(shown).encode(), keep)
    row = rows.of_values(metric, view.market, view.values[0], view.final, standing, store.ring, now)
    return Rendered(dumps(row | shown.place | {"values": shown.values[0]}), keep)
