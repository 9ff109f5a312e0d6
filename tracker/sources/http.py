"""GET a JSON document, bounded in time and size; whatever goes wrong is a SourceError with a counted reason."""

import io
import time
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter

from tracker.errors import SourceError

CONNECT_TIMEOUT = 4
READ_TIMEOUT = 10
#: Seconds for a whole answer, head and body, however busily it drips.
DEADLINE = 15
#: Bytes of an answer, unpacked: parsed, JSON may take 30 x. The largest real one, 20,000 markets, has about 4 MB.
LARGEST = 8_000_000
CHUNK = 65_536


def session(headers: dict[str, str], *mixins: type) -> requests.Session:
    """A session to keep for a process: it reuses connections and never retries, which is the task's to decide.

    ``mixins``: classes that overrule methods of its connections.
    """
    made = _Session()
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none kept: they would be sent back, and grow
    made.headers.update({"User-Agent": "data-tracker", "Accept": "application/json", **headers})
    made.trust_env = False  # no .netrc look-up a request, and no proxy by surprise
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=8, max_retries=0)
        adapter.poolmanager.pool_classes_by_scheme = {
            "http": _pool(urllib3.HTTPConnectionPool, *mixins, _Connection),
            "https": _pool(urllib3.HTTPSConnectionPool, *mixins, _TlsConnection),
        }
        made.mount(scheme, adapter)
    return made


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests reads all of a redirect's body, however long, even if it does not follow it."""


class _Answer(HTTPResponse):
    """An answer, head and body, that must be there within DEADLINE: READ_TIMEOUT bounds only the next byte."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any):
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Deadlined(sock, time.monotonic() + DEADLINE))


class _Deadlined(io.RawIOBase):
    """What a socket receives until ``deadline``; then TimeoutError."""

    def __init__(self, sock: Any, deadline: float):
        self.sock = sock
        self.raw = sock.makefile("rb", buffering=0)
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not through after {DEADLINE} s")
        self.sock.settimeout(min(left, READ_TIMEOUT))
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Answer


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Answer


def _pool(pool: type, *connection: type) -> type:
    return type("Pool", (pool,), {"ConnectionCls": type("Connection", connection, {})})


def get_json(session: requests.Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """The JSON document at ``url``.

    Raises SourceError: ``unreachable``, ``too_slow``, ``too_long``, ``http_NNN`` for a status other than 200,
    ``not_json``.
    """
    try:
        with session.get(
            url, params=params, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), stream=True, allow_redirects=False
        ) as response:
            body = _read(response)
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise SourceError("too_slow", f"{url} did not answer in time: {error}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: odd headers
        raise SourceError("unreachable", f"{url}: {error}") from error
    if response.status_code != 200:
        raise SourceError(f"http_{response.status_code}", f"{url} answered {response.status_code}: {_excerpt(body)}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError("not_json", f"{url} answered what is no JSON ({error}): {_excerpt(body)}") from error


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    while chunk := response.raw.read1(CHUNK, decode_content=True):  # as it arrives, unpacked
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise SourceError("too_long", f"{response.url} sent more than {LARGEST:,} bytes")
    return b"".join(chunks)


def _excerpt(body: bytes) -> str:
    return repr(body[:120].decode("utf-8", "replace"))
