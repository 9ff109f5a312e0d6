"""The dashboard at ``/``, and the files of all pages under ``/static``. They change with a release only."""

import mimetypes
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from apiflask import APIBlueprint, abort
from flask import Response, request

from api.serving.answer import Answer

FILES = Path(__file__).parents[1] / "static"
#: Browsers ask each time, and mostly get 304: a page must never run with files of an older release.
REVALIDATED = "no-cache"
#: Files whose names contain their version.
VERSIONED = re.compile(r"^vendor/.*-\d+\.\d+\.\d+\.\w+$")
LASTING = "public, max-age=31536000, immutable"
#: Nothing is loaded from other sites, and inline scripts do not run. ``wasm-unsafe-eval`` lets sql.js compile.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Files of the pages at /docs and /links, which the static edition does not have.
OTHERS = re.compile(r"^(docs\.\w+$|link\.css$|vendor/swagger-ui/)")
#: Media types that the system may not know, or know by other names.
TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}

bp = APIBlueprint("dashboard", __name__, enable_openapi=False)


@bp.get("/")
def page() -> Response:
    """The page."""
    return sent("index.html")


@bp.get("/static/<path:name>")
def static(name: str) -> Response:
    """A file of a page."""
    if name not in names():
        abort(404)
    return sent(name)


def edition() -> Iterator[tuple[str, bytes]]:
    """Yields (path, bytes) of the dashboard's files. In the static edition the page reads files, not the API."""
    yield "index.html", file("index.html").body.replace(b'data-edition="server"', b'data-edition="files"')
    for name in sorted(names() - {"index.html"}):
        if not OTHERS.match(name):
            yield f"static/{name}", file(name).body


@cache
def names() -> frozenset[str]:
    """The paths of all files below ``static``. No other file is served."""
    return frozenset(path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file())


@cache
def file(name: str) -> Answer:
    """The file of that name, one of ``names``. A process reads and compresses it once."""
    type = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return Answer((FILES / name).read_bytes(), f"{type}; charset=utf-8" if type.startswith("text/") else type)


def sent(name: str, policy: str = POLICY) -> Response:
    """The answer with the file of that name, one of ``names``, under a Content-Security-Policy."""
    body, etag, headers = file(name).coded(request.headers.get("Accept-Encoding", ""))
    response = Response(body, headers=headers)
    response.headers["ETag"] = etag
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = LASTING if VERSIONED.search(name) else REVALIDATED
    response.headers["Content-Security-Policy"] = policy
    response.make_conditional(request)
    return response
