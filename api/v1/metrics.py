"""The list of metrics, with filters, orders, pages and spark lines."""

from http import HTTPStatus
from typing import Any

import numpy as np
from apiflask import APIBlueprint
from flask import Response, jsonify

from api.serving import cache
from api.serving.problems import documented, refuse
from api.v1 import context, cursor, rows, schemas
from api.v1.table import Order, Table
from tracker.models import FIELDS, Metric

bp = APIBlueprint("metrics", __name__, tag="Metrics")

#: Orders by name. A leading "-" reverses an order.
ORDERS = {
    "rank": Order("stddev", down=True),
    "cv": Order("cv", down=True),
    "last": Order("last", down=True),
    "change": Order("change_24h", down=True),
    "id": Order(None),
}
#: Windows read at a time for spark lines.
CHUNK = 128


@bp.get("/metrics")
@bp.input(schemas.MetricsQuery, location="query", arg_name="query")
@bp.output(schemas.Metrics)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_metrics(query: schemas.MetricsQuery) -> Response:
    """Which metrics are there?

    The list has the metrics of all watched markets. If a market is no longer watched, its metrics stay until their
    samples are gone. Numbers and ranks are from the last evaluation.
    """
    now = context.now()
    table, order = context.tables().newest(now), _order(query.order)
    chosen = matching(table, query)
    total = len(chosen)
    if query.cursor:
        try:
            chosen = table.behind(chosen, order, cursor.read(query.cursor, query.order))
        except cursor.BadCursor as error:
            refuse("query", "cursor", str(error))
    page = table.sort(chosen, order)[: query.limit].tolist()
    last = len(page) == len(chosen)
    following = None if last else cursor.write(query.order, table.place(page[-1], order))
    cache.keep(table.keep(now))
    return jsonify(metrics=_rows(table, page, query.names, now), next=following, total=total)


def matching(table: Table, query: schemas.Filters) -> np.ndarray:
    """The numbers of the rows of ``table`` that match the query's filters: int (n,), in ascending order."""
    words = (query.q or "").lower().split()
    fields = [query.field] if query.field else list(FIELDS)

    def matches(id: str) -> bool:
        exchange, pair, field = id.split(":")
        return (
            field in fields
            and query.exchange in (None, exchange)
            and query.pair in (None, pair)
            and all(word in id for word in words)
        )

    chosen = [at for at, id in enumerate(table.ids) if matches(id)]
    if query.quote:
        markets = {id for id, market in table.markets.items() if market.quote == query.quote}
        chosen = [at for at in chosen if table.ids[at].rpartition(":")[0] in markets]
    return np.array(chosen, int)


def _order(text: str) -> Order:
    order = ORDERS[text.removeprefix("-")]
    return Order(order.column, order.down ^ text.startswith("-"))


def _rows(table: Table, page: list[int], names: frozenset[str] | None, now: float) -> list[dict[str, Any]]:
    found = [table.row(at) for at in page]
    if names is None:
        return found
    if "spark" in names:
        for start in range(0, len(found), CHUNK):
            _add_sparks(found[start : start + CHUNK], now)
    return [{name: value for name, value in row.items() if name in names} for row in found]


def _add_sparks(found: list[dict[str, Any]], now: float) -> None:
    metrics = [Metric.parse(row["id"]) for row in found]
    markets = list(dict.fromkeys(metric.market for metric in metrics))
    values, final = context.store().windows(markets, now)
    at = {market: row for row, market in enumerate(markets)}
    chosen = [at[metric.market] for metric in metrics]
    shown = values[[metric.column for metric in metrics], chosen]
    for row, spark in zip(found, rows.sparks(shown, final[chosen]), strict=True):
        row["spark"] = spark
