"""The page at /docs: Swagger UI over the OpenAPI document. Its files are shipped, so it works without internet."""

from apiflask import APIBlueprint
from flask import Response

from api.pages import dashboard

bp = APIBlueprint("docs", __name__, enable_openapi=False)

#: Swagger UI sets styles from its script and draws icons from data URLs. Nothing is loaded from other sites.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


@bp.get("/docs")
def page() -> Response:
    """The page."""
    return dashboard.sent("docs.html", POLICY)
