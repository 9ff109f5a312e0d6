"""The dashboard: the page at ``/`` and the files it is made of. They change with a release only."""

import mimetypes
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from apiflask import APIBlueprint, abort
from flask import Response, request

from api.serving.answer import Answer

FILES = Path(__file__).parents[1] / "static"
#: Asked for each time, and mostly answered by 304: a new release must never meet files of the one before.
REVALIDATED = "no-cache"
#: Of files whose name has their version.
VERSIONED = re.compile(r"^vendor/.*-\d+\.\d+\.\d+\.\w+$")
LASTING = "public, max-age=31536000, immutable"
#: Nothing is fetched from elsewhere, and no script but the files' runs. ``wasm-unsafe-eval`` lets sql.js be compiled.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Types that the system may know by other names, or not at all.
TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}

bp = APIBlueprint("dashboard", __name__, enable_openapi=False)


@bp.get("/")
def page() -> Response:
    """The page."""
    return _sent("index.html")


@bp.get("/static/<path:name>")
def static(name: str) -> Response:
    """A file of the page."""
    if name not in names():
        abort(404)
    return _sent(name)


def edition() -> Iterator[tuple[str, bytes]]:
    """The page and its files as the static edition has them: path and bytes. It reads files beside it, not the API."""
    yield "index.html", file("index.html").body.replace(b'data-edition="server"', b'data-edition="files"')
    for name in sorted(names() - {"index.html"}):
        yield f"static/{name}", file(name).body


@cache
def names() -> frozenset[str]:
    """The files there are, as paths below ``static``: what is not among them is not looked for."""
    return frozenset(path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file())


@cache
def file(name: str) -> Answer:
    """The file of that name, one of ``names``: read once a process, and compressed once."""
    type = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return Answer((FILES / name).read_bytes(), f"{type}; charset=utf-8" if type.startswith("text/") else type)


def _sent(name: str) -> Response:
    body, etag, headers = file(name).coded(request.headers.get("Accept-Encoding", ""))
    response = Response(body, headers=headers)
    response.headers["ETag"] = etag
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = LASTING if VERSIONED.search(name) else REVALIDATED
    response.headers["Content-Security-Policy"] = POLICY
    response.make_conditional(request)
    return response
