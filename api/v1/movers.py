"""The metrics at both ends of a ranking."""

from http import HTTPStatus

import numpy as np
from apiflask import APIBlueprint
from flask import Response, jsonify

from api.serving import cache
from api.serving.problems import documented
from api.v1 import context, schemas
from api.v1.table import Order
from tracker.models import FIELDS

bp = APIBlueprint("movers", __name__, tag="Metrics")

#: Values of the parameter `by` -> columns of Summary.
BY = {"stddev": "stddev", "cv": "cv", "change": "change_24h"}


@bp.get("/movers")
@bp.input(schemas.MoversQuery, location="query", arg_name="query")
@bp.output(schemas.Movers)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def movers(query: schemas.MoversQuery) -> Response:
    """Which metrics move most, and which least?

    Numbers and ranks are from the last evaluation. Metrics without the number are in neither list.
    """
    now = context.now()
    table = context.tables().newest(now)
    field = list(FIELDS).index(query.field)
    chosen = np.flatnonzero((table.fields == field) & table.has(BY[query.by]))
    ordered = table.sort(chosen, Order(BY[query.by], down=True)).tolist()
    cache.keep(table.keep(now))
    return jsonify(
        field=query.field,
        by=query.by,
        top=[table.row(at) for at in ordered[: query.limit]],
        bottom=[table.row(at) for at in ordered[::-1][: query.limit]],
    )
