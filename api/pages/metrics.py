"""The page for Prometheus. The guard lets only this machine read it, or a client with an API key."""

from apiflask import APIBlueprint
from flask import Response, current_app

from tracker.metrics import Metrics

bp = APIBlueprint("metrics", __name__, enable_openapi=False)
TYPE = "text/plain; version=0.0.4; charset=utf-8"


@bp.get("/metrics")
def page() -> Response:
    """The state of the whole tracker in Prometheus' text format."""
    metrics: Metrics = current_app.extensions["metrics"]
    return Response(metrics.page(), content_type=TYPE, headers={"Cache-Control": "no-store"})
