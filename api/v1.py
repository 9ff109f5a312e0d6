"""Version 1 of the API: which metrics are there, and what did this one do in the last 24 hours?"""

from bisect import bisect_right
from http import HTTPStatus
from math import isnan
from typing import Any

import numpy as np
from apiflask import APIBlueprint, abort
from flask import Response, current_app, jsonify, url_for

from api import alerts, schemas, sources
from api.problems import documented
from tracker import stats
from tracker.errors import BadId
from tracker.models import FIELDS, Market, Metric, Rank, Summary
from tracker.ring import Ring
from tracker.settings import Settings
from tracker.store import Store

bp = APIBlueprint("v1", __name__, url_prefix="/v1", tag="Metrics")
bp.register_blueprint(alerts.bp)
bp.register_blueprint(sources.bp)

#: Names in answers -> those in Summary.
NUMBERS = {"last": "last", "last_slot": "slot", "mean_1h": "mean_1h", "mean_24h": "mean", "stddev_24h": "stddev"}


@bp.get("/metrics")
@bp.input(schemas.MetricsQuery, location="query", arg_name="query")
@bp.output(schemas.Metrics)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def metrics(query: schemas.MetricsQuery) -> Response:
    """Which metrics are there?

    Those of all watched markets, and of markets no longer watched until their samples are gone. Ordered by id.
    """
    fields = [query.field] if query.field else list(FIELDS)
    watched, ranking = _watched(), {field: _store().ranking(field) for field in fields}
    ids = {Metric(market, field).id for market in watched for field in fields}.union(*ranking.values())
    if query.exchange:
        ids = {id for id in ids if id.startswith(f"{query.exchange}:")}
    ordered = sorted(ids)
    start = bisect_right(ordered, query.after or "")
    page = ordered[start : start + query.limit]
    last = start + query.limit >= len(ordered)
    return jsonify(metrics=_rows(page, watched, ranking), next=None if last else page[-1], total=len(ordered))


@bp.get("/metrics/<id>")
@bp.input(schemas.MetricPath, location="path")
@bp.input(schemas.Query, location="query")
@bp.output(schemas.Series)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def series(id: str, **_: object) -> Response:
    """What did this one do in the last 24 hours?

    Values and statistics are of this moment, the rank is of the last evaluation.
    """
    metric = _parsed(id)
    store, settings = _store(), _settings()
    market, standing = store.find(metric.market, settings.sources), store.standing(metric)
    if not market and not standing:
        abort(404, detail=f"There is no metric {metric.id}; {url_for('v1.metrics')} lists those that are.")
    now = settings.clock.now()
    values = store.windows([metric.market], now)[metric.column]
    row = _row(metric, market, _summary(values, store.ring, now), standing[1] if standing else None)
    window = {"start": store.ring.first(now), "step": store.ring.step, "closed": values.shape[1] - 1}
    return jsonify(row | window | {"values": values[0]})


def _store() -> Store:
    return current_app.extensions["store"]


def _settings() -> Settings:
    return current_app.extensions["settings"]


def _watched() -> dict[str, Market]:
    return {id: market for source in _settings().sources for id, market in _store().watched(source).items()}


def _parsed(id: str) -> Metric:
    try:
        return Metric.parse(id)
    except BadId as error:
        abort(404, detail=f"{error}; {url_for('v1.metrics')} lists all.")


def _rows(ids: list[str], watched: dict[str, Market], ranking: dict[str, list[str]]) -> list[dict[str, Any]]:
    page = [Metric.parse(id) for id in ids]
    summaries = _summaries(page)
    ranks = {id: (at, len(ranked)) for ranked in ranking.values() for at, id in enumerate(ranked, start=1)}
    return [
        _row(
            metric,
            watched.get(metric.market),
            summaries.get(metric.id),
            Rank(*ranks[metric.id]) if metric.id in ranks else None,
        )
        for metric in page
    ]


def _summaries(metrics: list[Metric]) -> dict[str, Summary]:
    """Metric id -> its summary. One whose newest sample has left the window since is left out."""
    oldest = _store().ring.first(_settings().clock.now())
    return {id: summary for id, summary in _store().summaries(metrics).items() if summary.slot >= oldest}


def _row(metric: Metric, market: Market | None, summary: Summary | None, rank: Rank | None) -> dict[str, Any]:
    """What every answer says of a metric. A rank may outlive the samples until the next evaluation: it is left out."""
    exchange, _, pair = metric.market.partition(":")
    if not summary or isnan(summary.stddev):
        rank = None
    return {
        "id": metric.id,
        "exchange": exchange,
        "pair": pair,
        "field": metric.field,
        "unit": metric.unit(market) if market else None,
        **{name: getattr(summary, attribute) if summary else None for name, attribute in NUMBERS.items()},
        "rank": {"position": rank.position, "of": rank.of, "text": rank.text} if rank else None,
    }


def _summary(values: np.ndarray, ring: Ring, now: float) -> Summary | None:
    """Of one series (1, rows); None without samples."""
    of = stats.describe(values, ring.step)
    if of.at[0] < 0:
        return None
    slot = ring.first(now) + int(of.at[0]) * ring.step
    return Summary(slot, *(float(each[0]) for each in (of.last, of.mean_1h, of.mean, of.stddev)))
