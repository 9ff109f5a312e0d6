"""The index: the paths of this version of the API."""

from apiflask import APIBlueprint
from flask import Response, jsonify, url_for

from api.v1 import schemas

bp = APIBlueprint("index", __name__, tag="Service")


@bp.get("")
@bp.output(schemas.Index)
def index() -> Response:
    """The paths of the API"""
    return jsonify(
        metrics=url_for("v1.metrics.list_metrics"),
        movers=url_for("v1.movers.movers"),
        health=url_for("service.health"),
        openapi=url_for("openapi.spec"),
        docs=url_for("docs.page"),
    )
