"""The guard: it runs before the cache and Flask, and decides which requests they see.

It bounds the query, counts requests and checks API keys. It answers a refused request with a problem. Reading is open,
or needs a key of scope ``read`` (API_READS=key). Writing needs a key of scope ``admin`` as soon as any key exists.
Until then only this machine may write: not through a proxy, and not from a web page of another site. The signed links
of notices are open, because they carry their own permission.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network
from threading import Lock
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from api.serving import limits, problems
from tracker.errors import StoreError
from tracker.settings import Settings
from tracker.store.api_keys import SCOPES, Key, Keys, is_public, match
from tracker.store.series import Store

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
READS = ("GET", "HEAD", "OPTIONS")
#: Paths that anybody may read. They tell only that the API exists and how to use it.
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/docs", "/v1/openapi.json", "/latest/openapi.json", "/static/")
#: The pages of signed links. They check the signature, see api/pages/links.py.
LINKS = "/links/"
#: Bytes of a query. The longest useful query has a tenth of this.
LONGEST_QUERY = 8_000
#: Seconds for which a process trusts the keys that it has read: normally, and while the store is away.
UNASKED, STALE = 1.0, 300.0
SECURITY: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
POLICY = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
#: The page for Prometheus. It tells more than the API: only this machine reads it without a key.
METRICS = "/metrics"
LOCAL = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """Ends a request; carries its answer."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Headers | None = None):
        self.status, self.detail, self.headers = status, detail, headers or []


class Guard:
    """WSGI middleware: passes admitted requests to ``app``."""

    def __init__(self, app: WSGIApplication, settings: Settings, store: Store):
        self.app = app
        self.settings = settings
        self.store = store
        self.known = KnownKeys(Keys(store.redis))
        self.public = is_public(settings)
        self._uncounted = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        extra = SECURITY + self._cors(environ)
        try:
            if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
                start_response("204 No Content", extra)
                return []
            extra = extra + self._admit(environ)
        except Refused as refused:
            return _refuse(refused, extra, environ, start_response)

        def started(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            own = POLICY[0] in dict(headers)
            return start_response(status, [*headers, *extra] if own else [*headers, *extra, POLICY])

        environ["HTTP_HOST"] = LOCAL[0]  # no answer depends on it, and Flask fails on invalid names
        return self.app(environ, started)

    def _admit(self, environ: WSGIEnvironment) -> Headers:
        """The header fields to add to the answer; raises Refused."""
        query = environ.get("QUERY_STRING", "")
        if len(query) > LONGEST_QUERY:
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"A query has at most {LONGEST_QUERY} bytes.")
        if not query.isascii() and not _is_utf8(query):
            raise Refused(HTTPStatus.BAD_REQUEST, "Send a query as UTF-8, with other bytes as %XX.")
        text = _sent(environ)
        key = match(self._keys(environ["PATH_INFO"]), text) if text else None
        allowance = self._spend(environ, key)
        headers = allowance.headers if allowance else []
        if allowance and allowance.left < 0:
            detail = f"{allowance.limit} requests a minute are allowed. Try again in {allowance.reset} seconds."
            retry = ("Retry-After", str(allowance.reset))
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, detail, [*headers, retry])
        try:
            self._authorise(environ, text, key)
        except Refused as refused:
            refused.headers += headers
            raise
        return headers

    def _spend(self, environ: WSGIEnvironment, key: Key | None) -> limits.Allowance | None:
        limit = self.settings.api_key_rate if key else self.settings.api_rate
        if not limit:
            return None
        who = f"key:{key.id}" if key else _network(environ.get("REMOTE_ADDR", ""))
        try:
            allowance = limits.spend(self.store, who, limit)
        except StoreError as error:
            self._say_uncounted(error)
            if self.settings.api_rate_fail == "open":
                return None
            raise _away("Requests cannot be counted") from None
        self._say_uncounted(None)
        return allowance

    def _say_uncounted(self, error: StoreError | None) -> None:
        """Logs when requests begin to pass, or to be refused, without being counted, and when that ends."""
        if self._uncounted == bool(error):
            return
        self._uncounted = bool(error)
        if error:
            log.warning("requests cannot be counted, API_RATE_FAIL=%s: %s", self.settings.api_rate_fail, error)
        else:
            log.warning("requests are counted again")

    def _authorise(self, environ: WSGIEnvironment, text: str, key: Key | None) -> None:
        writes = environ["REQUEST_METHOD"] not in READS
        if text and not key:
            raise _unauthorised("This API key is not known, or was revoked.")
        if environ["PATH_INFO"].startswith(LINKS):
            pass
        elif not writes:
            if environ["PATH_INFO"] == METRICS and not key and not _is_this_machine(environ):
                raise _unauthorised("From another machine, this needs an API key.")
            if self.settings.api_reads == "key" and not key and not _is_open(environ["PATH_INFO"]):
                raise _unauthorised("This needs an API key.")
        elif key:
            if key.scope != SCOPES[-1]:
                raise Refused(HTTPStatus.FORBIDDEN, f"This needs an API key of scope {SCOPES[-1]}, not {key.scope}.")
        elif self._keys():
            raise _unauthorised(f"This needs an API key of scope {SCOPES[-1]}.")
        elif self.public or not _is_local(environ):
            raise Refused(HTTPStatus.FORBIDDEN, "Make an API key first: `python -m tracker keys create NAME`.")
        if writes and "HTTP_TRANSFER_ENCODING" in environ:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Send a body whose length is known, with `Content-Length`.")

    def _keys(self, path: str = "") -> Mapping[str, Key]:
        """The keys that count for ``path``. Prometheus must learn that the store is away, however long it is."""
        try:
            return self.known.newest(math.inf if path == METRICS else STALE)
        except StoreError:
            raise _away("API keys cannot be looked up") from None

    def _cors(self, environ: WSGIEnvironment) -> Headers:
        """Header fields that let pages of the sites in API_CORS read the answer."""
        allowed = self.settings.api_cors
        if not allowed:
            return []
        vary: Headers = [] if "*" in allowed else [("Vary", "Origin")]
        origin = environ.get("HTTP_ORIGIN", "")
        if not origin or ("*" not in allowed and origin not in allowed):
            return vary
        return [
            *vary,
            ("Access-Control-Allow-Origin", "*" if "*" in allowed else origin),
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, X-API-Key"),
            ("Access-Control-Expose-Headers", "ETag, Retry-After, RateLimit-Limit, RateLimit-Remaining, "
             "RateLimit-Reset, X-Request-Id"),
            ("Access-Control-Max-Age", "600"),
        ]  # fmt: skip


class KnownKeys:
    """A process's copy of the keys, at most UNASKED seconds old."""

    def __init__(self, keys: Keys):
        self._keys = keys
        self._known: dict[str, Key] = {}
        self._lock = Lock()
        self._asked = self._read = -math.inf

    def newest(self, longest: float) -> Mapping[str, Key]:
        """Keys by id; raises StoreError if they were never read, or ``longest`` seconds ago or earlier."""
        with self._lock:
            now = time.monotonic()
            if now - self._asked >= UNASKED:
                try:
                    self._known, self._read = self._keys.all(), now
                except StoreError:
                    if now - self._read >= longest:
                        raise
                self._asked = now
            return self._known


def _is_open(path: str) -> bool:
    """Whether anybody may read the path. The page at / asks for a key itself."""
    return path == "/" or path.startswith(OPEN_PATHS)


def _is_utf8(text: str) -> bool:
    """Whether the bytes that WSGI decoded as Latin-1 are UTF-8."""
    try:
        text.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True


def _sent(environ: WSGIEnvironment) -> str:
    """The API key that a request carries, or ""."""
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else str(environ.get("HTTP_X_API_KEY", ""))


def _network(address: str) -> str:
    """The network to count an address under. With IPv6 a client has a whole /64."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((int(IPv6Address(address.partition("%")[0])) >> 64 << 64, 64)))
    except ValueError:
        return "unknown"


def _is_local(environ: WSGIEnvironment) -> bool:
    """Whether a request comes from this machine: not from a page of another site, and not through a proxy."""
    hosts = [f"//{environ.get('HTTP_HOST', '')}"]
    if "HTTP_ORIGIN" in environ:
        hosts.append(environ["HTTP_ORIGIN"])
    return all(_names_local(host) for host in hosts) and "HTTP_X_FORWARDED_FOR" not in environ


def _is_this_machine(environ: WSGIEnvironment) -> bool:
    """As ``_is_local``, and the connection itself comes from this machine."""
    return environ.get("REMOTE_ADDR", "") in LOCAL and _is_local(environ)


def _names_local(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOCAL
    except ValueError:  # not a URL
        return False


def _unauthorised(detail: str) -> Refused:
    how = "Send it as `Authorization: Bearer KEY`."
    return Refused(HTTPStatus.UNAUTHORIZED, f"{detail} {how}", [("WWW-Authenticate", "Bearer")])


def _away(what: str) -> Refused:
    detail = f"{what}: the store does not answer. Try again in {problems.RETRY_AFTER} seconds."
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, [("Retry-After", str(problems.RETRY_AFTER))])


def _refuse(refused: Refused, extra: Headers, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    body = problems.body(refused.status, refused.detail)
    fields = [("Content-Type", problems.MIMETYPE), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    status = f"{refused.status.value} {refused.status.phrase}"
    start_response(status, [*fields, *refused.headers, *extra, POLICY])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
