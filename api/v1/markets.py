"""One market: its price and its volume in one answer."""

from http import HTTPStatus
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify

from api.serving import cache
from api.serving.answer import CachePolicy
from api.serving.problems import documented
from api.v1 import context, rows, schemas
from api.v1.slices import cut
from tracker.models import FIELDS, MARKET_ID, Metric

bp = APIBlueprint("markets", __name__, tag="Markets")

#: Fields that the rows of a market's metrics share. The answer has them once.
SHARED = ("exchange", "pair", "base", "quote")


@bp.get("/markets/<id>")
@bp.input(schemas.SeriesQuery, location="query", arg_name="query")
@bp.output(schemas.MarketSeries)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def market(id: str, query: schemas.SeriesQuery) -> Response:
    """What did price and volume of this market do in the last 24 hours?

    Values and statistics are of this moment. Ranks are from the last evaluation.
    """
    if not MARKET_ID.fullmatch(id):
        context.refuse_unknown(
            f"{id[:80]!r} is not a market id: expected exchange:pair in lower case, e.g. kraken:btcusd"
        )
    now, store = context.now(), context.store()
    metrics = [Metric(id, field) for field in FIELDS]
    view = store.view(id, metrics, context.settings().sources, now)
    if not view.market and not any(view.standings):
        context.refuse_unknown(f"There is no market {id}")
    window = cut(view.values, view.final, store.ring, now, query)
    answer: dict[str, Any] = {"id": id} | window.place
    for metric, standing, whole, shown in zip(metrics, view.standings, view.values, window.values, strict=True):
        row = rows.of_values(metric, view.market, whole, view.final, standing, store.ring, now)
        del row["id"]
        answer |= {name: row.pop(name) for name in SHARED}
        answer[metric.field] = row | {"values": shown}
    cache.keep(CachePolicy.of(view, metrics, now))
    return jsonify(answer)
