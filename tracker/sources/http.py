"""GET a JSON document, bounded in time and size; whatever goes wrong is a SourceError with a counted reason."""

import io
import re
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter

from tracker.errors import SourceError
from tracker.sources import Pay, free

CONNECT_TIMEOUT = 4
READ_TIMEOUT = 10
#: Seconds for a whole answer, head and body, however busily it drips.
DEADLINE = 15
#: Bytes of an answer, unpacked: parsed, JSON may take 30 x. The largest real one, 20,000 markets, has about 4 MB.
LARGEST = 8_000_000
CHUNK = 65_536


#: Seconds to stay away where a source says that it was asked too much, but not until when; at most, whatever it says.
PAUSES = {429: 60, 418: 120}
LONGEST_PAUSE = 3 * 86_400
#: Binance names the end of a ban in words: "IP banned until 1659761931230."
BANNED_UNTIL = re.compile(rb"banned until (\d{13})")

Made = TypeVar("Made", bound=requests.Session)


def session(headers: dict[str, str], pay: Pay = free) -> "Session":
    """A source's session."""
    return prepared(Session(pay), headers)


def prepared(made: Made, headers: dict[str, str], *mixins: type) -> Made:
    """A session to keep for a process: it reuses connections and never retries, which is the task's to decide.

    ``mixins``: classes that overrule methods of its connections.
    """
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


class Plain(requests.Session):
    """A session that does as it is told."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests reads all of a redirect's body, however long, even if it does not follow it."""


class Session(Plain):
    """Every request is paid for first, and its answer is read in bounds: it raises SourceError, or MustWait.

    skew: seconds that the server's clock is ahead of ours, by its last answer; None if it does not say.
    """

    skew: float | None = None

    def __init__(self, pay: Pay):
        super().__init__()
        self.pay = pay

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        url = str(request.url)
        self.pay(url)
        bounds = {"timeout": (CONNECT_TIMEOUT, READ_TIMEOUT), "stream": True, "allow_redirects": False}
        sent = time.time()
        try:
            with super().send(request, **options | bounds) as response:
                body = _read(response)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise SourceError("too_slow", f"{url} did not answer in time: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # odd headers
            raise SourceError("unreachable", f"{url}: {error}") from error
        self._compare_clocks(response, sent)
        response.raw = io.BytesIO(body)
        return response

    def _compare_clocks(self, response: requests.Response, sent: float) -> None:
        """By the header ``Date``, whose seconds are cut off: on average it is half a second behind."""
        if date := _date(response.headers.get("Date", "")):
            self.skew = date + 0.5 - (sent + time.time()) / 2


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


def get_json(session: Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """The JSON document at ``url``.

    Raises SourceError: ``unreachable``, ``too_slow``, ``too_long``, ``http_NNN`` for a status other than 200,
    ``not_json``; and MustWait.
    """
    try:
        response = session.get(url, params=params)
    except (requests.RequestException, ValueError) as error:  # no URL, or a header field that is none
        raise SourceError("unreachable", f"{url}: {error}") from error
    if response.status_code != 200:
        raise refusal(response)
    return parsed(response.content, url)


def parsed(body: bytes | str, url: str) -> Any:
    """What a body says; raises SourceError ``not_json``."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError("not_json", f"{url} answered what is no JSON ({error}): {_excerpt(body)}") from error


def refusal(response: requests.Response) -> SourceError:
    """What an answer that is no 200 means: 429, 418 and Retry-After ask for a pause, 401 and 451 are permanent."""
    status, body = response.status_code, response.content
    wait = seconds(response.headers.get("Retry-After", "")) or PAUSES.get(status, 0)
    if banned := BANNED_UNTIL.search(body):
        wait = int(banned[1]) / 1000 - time.time()
    return SourceError(
        f"http_{status}",
        f"{response.url} answered {status}: {_excerpt(body)}",
        wait=min(max(wait, 0), LONGEST_PAUSE),
        permanent=status in (401, 451),
    )


def seconds(retry_after: str) -> float | None:
    """The header Retry-After in seconds: a number of them, or a date (RFC 9110, 10.2.3). None if it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    date = _date(retry_after)
    return max(date - time.time(), 0) if date else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    while chunk := response.raw.read1(CHUNK, decode_content=True):  # as it arrives, unpacked
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise SourceError("too_long", f"{response.url} sent more than {LARGEST:,} bytes")
    return b"".join(chunks)


def _excerpt(body: bytes | str) -> str:
    return repr(body[:200].decode("utf-8", "replace") if isinstance(body, bytes) else body[:200])
