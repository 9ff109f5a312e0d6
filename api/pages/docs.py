"""The page at /docs: Swagger UI (Apache-2.0), which comes with flask-openapi3-swagger, so it works without internet."""

from importlib.util import find_spec
from pathlib import Path

from apiflask import APIBlueprint, abort
from flask import Response, send_file

bp = APIBlueprint("docs", __name__, enable_openapi=False)

STATIC = Path(__file__).parents[1] / "static"
#: Styles are set by the page's own script; nothing is loaded from elsewhere.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


def _wheel() -> Path:
    """Where Swagger UI is: its package is not imported, it would bring a framework along."""
    spec = find_spec("flask_openapi3_swagger")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "templates" / "swagger"


FILES = {
    "docs.js": STATIC / "docs.js",
    "swagger-ui.css": _wheel() / "css" / "swagger-ui.css",
    "swagger-ui-bundle.js": _wheel() / "js" / "swagger-ui-bundle.js",
}


@bp.get("/docs")
def page() -> Response:
    answer = send_file(STATIC / "docs.html", conditional=True)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


@bp.get("/docs/<name>")
def file(name: str) -> Response:
    if name not in FILES:
        abort(404)
    return send_file(FILES[name], conditional=True, max_age=86_400)
