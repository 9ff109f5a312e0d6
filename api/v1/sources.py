"""The state of each source."""

from http import HTTPStatus

from apiflask import APIBlueprint
from flask import Response, jsonify

from api.serving.problems import documented
from api.v1 import context, schemas
from tracker.sources import status

bp = APIBlueprint("sources", __name__, tag="Sources")


@bp.get("/sources")
@bp.input(schemas.Query, location="query")
@bp.output(schemas.Sources)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def sources(**_: object) -> Response:
    """Can each source be reached, is it within its budget, and are its markets fresh?

    A source that is down and a market that is stale are states, not alerts.
    """
    states = status.states(context.store(), context.settings())
    return jsonify(sources=[state.as_json() for state in states])
