"""The page for Prometheus. The guard lets only this machine read it, or a client with an API key."""

from apiflask import APIBlueprint
from flask import Response, current_app

from tracker.counts import TYPE, Page

bp = APIBlueprint("metrics", __name__, enable_openapi=False)


@bp.get("/metrics")
def page() -> Response:
    """The state of the whole tracker in Prometheus' text format."""
    kept: Page = current_app.extensions["metrics"]
    return Response(kept.read(), content_type=TYPE, headers={"Cache-Control": "no-store"})
