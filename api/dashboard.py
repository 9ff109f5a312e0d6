"""The dashboard: the page at ``/`` and the files it is made of. They change with a release only."""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from apiflask import APIBlueprint, abort
from flask import Response, request

FILES = Path(__file__).parent / "static"
#: Asked for each time, and mostly answered by 304: a new release must never meet files of the one before.
REVALIDATED = "no-cache"
#: Files whose name has their version.
LASTING = "public, max-age=31536000, immutable"
#: Nothing is fetched from elsewhere, and no script but the files' runs. ``wasm-unsafe-eval`` lets sql.js be compiled.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}
COMPRESSED = (".html", ".js", ".css", ".svg", ".wasm")

bp = APIBlueprint("dashboard", __name__, enable_openapi=False)


@dataclass(frozen=True)
class File:
    """A file as it is sent: its bytes, plain and by gzip, its type, and the tag of its content."""

    plain: bytes
    gzipped: bytes | None
    mimetype: str
    etag: str


@bp.get("/")
def page() -> Response:
    """The page."""
    return _answer("index.html")


@bp.get("/static/<path:name>")
def static(name: str) -> Response:
    """A file of the page."""
    if name not in names():
        abort(404)
    return _answer(name)


@cache
def names() -> frozenset[str]:
    """The files there are, as paths below ``static``: what is not among them is not looked for."""
    return frozenset(path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file())


@cache
def file(name: str) -> File:
    """The file of that name, one of ``names``: read, tagged and compressed once a process."""
    plain, suffix = (FILES / name).read_bytes(), Path(name).suffix
    mimetype = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    gzipped = gzip.compress(plain, mtime=0) if suffix in COMPRESSED else None
    return File(plain, gzipped, mimetype, hashlib.sha256(plain).hexdigest()[:20])


def edition() -> Iterator[tuple[str, bytes]]:
    """The page and its files as the static edition has them: path and bytes. It reads files beside it, not the API."""
    yield "index.html", file("index.html").plain.replace(b'data-edition="server"', b'data-edition="files"')
    for name in sorted(names() - {"index.html"}):
        yield f"static/{name}", file(name).plain


def _answer(name: str) -> Response:
    found = file(name)
    zipped = found.gzipped and "gzip" in request.accept_encodings
    response = Response(found.gzipped if zipped else found.plain, mimetype=found.mimetype)
    response.set_etag(found.etag + ("-gzip" if zipped else ""))
    response.headers["Cache-Control"] = LASTING if name.startswith("vendor/") and found.gzipped else REVALIDATED
    response.headers["Content-Security-Policy"] = POLICY
    if found.gzipped:
        response.headers["Vary"] = "Accept-Encoding"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.make_conditional(request)
    return response
