"""HTTP sessions with a deadline: a whole answer arrives in time, or the request fails. Used by sources and channels."""

import io
import logging
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tracker.clock import wall

CONNECT_TIMEOUT = 4
READ_TIMEOUT = 10
#: Seconds for a whole answer, head and body. It also ends an answer that keeps dripping.
DEADLINE = 15

# urllib3 logs whole URLs, even in warnings, and a webhook's URL is a secret.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)

Made = TypeVar("Made", bound=requests.Session)


def prepared(made: Made, headers: dict[str, str]) -> Made:
    """Sets up a session for a whole process. It reuses connections and never retries: the task decides that."""
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none kept: they would be sent back, and grow
    made.headers.update({"User-Agent": "data-tracker", "Accept": "application/json", **headers})
    made.trust_env = False  # no .netrc look-up for each request, no unexpected proxy
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=8, max_retries=0)
        adapter.poolmanager.pool_classes_by_scheme = {
            "http": _pool(urllib3.HTTPConnectionPool, _Connection),
            "https": _pool(urllib3.HTTPSConnectionPool, _TlsConnection),
        }
        made.mount(scheme, adapter)
    return made


class Plain(requests.Session):
    """A session that does not follow redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Hides every redirect from requests, which would read the redirect's whole body without a limit."""


class _Answer(HTTPResponse):
    """Head and body must arrive within DEADLINE. The request's own timeout limits only the wait for the next byte."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any):
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Deadlined(sock, time.monotonic() + DEADLINE))


class _Deadlined(io.RawIOBase):
    """Reads from a socket until ``deadline`` (of time.monotonic), then raises TimeoutError.

    Waits for the next byte as long as the socket allows now: the read timeout of the request.
    """

    def __init__(self, sock: Any, deadline: float):
        self.sock = sock
        self.patience = sock.gettimeout() or READ_TIMEOUT
        self.raw = sock.makefile("rb", buffering=0)
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the answer is not complete after {DEADLINE} s")
        self.sock.settimeout(min(left, self.patience))
        count: int = self.raw.readinto(buffer)
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Answer


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Answer


def _pool(pool: type, connection: type) -> type:
    return type("Pool", (pool,), {"ConnectionCls": connection})


def seconds(retry_after: str) -> float | None:
    """Reads the header Retry-After: a number of seconds, or a date (RFC 9110, 10.2.3). None if it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    then = unix_seconds(retry_after)
    return max(then - wall(), 0) if then else None


def unix_seconds(date: str) -> float | None:
    """Reads a date from a header; None if it is not a date."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
