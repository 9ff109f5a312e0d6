"""Gets a JSON document within limits of time and size. Every failure is a SourceError with a reason that is counted.

The meaning of an HTTP status is in ``refusal``. The meaning of an exchange's error text is in ``exchange.py``.
"""

import hashlib
import io
import re
from typing import Any
from urllib.parse import urlencode

import orjson
import requests
import urllib3

from tracker import http
from tracker.clock import wall
from tracker.errors import SourceError
from tracker.sources import Pay, free, kept_answers

#: Most bytes of an unpacked answer. Parsed JSON may take 30 times that. The largest real one, 20,000 markets, has 4 MB.
LARGEST = 8_000_000
CHUNK = 65_536
#: Status -> seconds to pause if the source gives no time of its own, and the longest pause that a source can ask for.
PAUSES = {429: 60, 418: 120}
LONGEST_PAUSE = 3 * 86_400
#: Header of Cryptowatch's API key. No other source gets a key.
KEY = "X-CW-API-Key"
#: Binance writes the end of a ban into its text, in ms: "IP banned until 1659761931230."
BANNED_UNTIL = re.compile(rb"banned until (\d{13})")


def session(headers: dict[str, str], pay: Pay = free) -> "Session":
    """Opens a session for a source."""
    return http.prepared(Session(pay), headers)


class Session(requests.Session):
    """Pays for every request first, then reads the answer within limits. Raises SourceError or MustWait.

    It follows no redirect, keeps no cookie and calls no hook.
    """

    def __init__(self, pay: Pay):
        super().__init__()
        self.pay = pay
        self._ready: requests.PreparedRequest | None = None
        self._dated = ("", 0.0)  # the last answer's header Date, and our time halfway through the request

    def fetch(self, url: str, params: dict[str, Any] | None = None) -> requests.Response:
        """GETs ``url``. Prepares a request once and then changes its URL only, which saves a fifth of the CPU."""
        if not self._ready:
            self._ready = self.prepare_request(requests.Request("GET", url))
        request = self._ready.copy()
        if params:
            given = {name: value for name, value in params.items() if value is not None}
            url += ("&" if "?" in url else "?") + urlencode(given, doseq=True)
        request.prepare_url(url, None)
        return self.send(request)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Sends the request and reads the whole answer. Ignores all options: some would loosen the limits.

        An answer that an interrupted refresh has kept (see kept_answers.py) is used again. It costs nothing.
        """
        url, known = str(request.url), _named(request) if kept_answers.is_kept() else ""
        if body := kept_answers.recall(known):
            return _again(request, body)
        self.pay(url)
        bounds = (http.CONNECT_TIMEOUT, http.READ_TIMEOUT)
        sent = wall()
        try:
            with self.get_adapter(url).send(request, stream=True, timeout=bounds) as response:
                body = _read(response)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise SourceError("too_slow", f"{url} did not answer in time: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # malformed headers
            raise SourceError("unreachable", f"{url}: {error}") from error
        self._dated = response.headers.get("Date", ""), (sent + wall()) / 2
        response.raw = io.BytesIO(body)
        if response.status_code == 200:
            kept_answers.note(known, body)
        return response

    @property
    def skew(self) -> float | None:
        """How far the server's clock is ahead of ours by its last answer, in seconds; None if the answer has no Date.

        A Date has whole seconds, rounded down. On average that is half a second too early.
        """
        stamp, ours = self._dated
        theirs = http.unix_seconds(stamp)
        return theirs + 0.5 - ours if theirs else None


def get_json(session: Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """The JSON document at ``url``.

    Raises MustWait, or SourceError with the reason ``unreachable``, ``too_slow``, ``too_long``, ``not_json``, or
    ``http_NNN`` for a status other than 200.
    """
    try:
        response = session.fetch(url, params)
    except (requests.RequestException, ValueError) as error:  # a malformed URL or header
        raise SourceError("unreachable", f"{url}: {error}") from error
    if response.status_code != 200:
        raise refusal(response)
    return parsed(response.content, url)


def parsed(body: bytes | str, url: str) -> Any:
    """Parses a JSON body; raises SourceError ``not_json``."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError("not_json", f"{url} did not answer with JSON ({error}): {_excerpt(body)}") from error


def refusal(response: requests.Response) -> SourceError:
    """The error for an answer other than 200. 429, 418 and Retry-After ask for a pause; 401 and 451 are permanent."""
    status, body = response.status_code, response.content
    wait = http.seconds(response.headers.get("Retry-After", "")) or PAUSES.get(status, 0)
    if banned := BANNED_UNTIL.search(body):
        wait = int(banned[1]) / 1000 - wall()
    if response.request and (key := str(response.request.headers.get(KEY, ""))):
        body = body.replace(key.encode(), b"***")  # some servers repeat a key that they refuse
    return SourceError(
        f"http_{status}",
        f"{response.url} answered {status}: {_excerpt(body)}",
        wait=min(max(wait, 0), LONGEST_PAUSE),
        permanent=status in (401, 451),
    )


def _named(request: requests.PreparedRequest) -> str:
    """A key for the request: equal requests of a source have equal keys."""
    return hashlib.sha256(repr((request.method, request.url, request.body)).encode()).hexdigest()


def _again(request: requests.PreparedRequest, body: bytes) -> requests.Response:
    """Makes the answer to ``request`` out of a body that was kept."""
    response = requests.Response()
    response.status_code, response.reason, response.encoding = 200, "OK", "utf-8"
    response.request, response.url, response.raw = request, str(request.url), io.BytesIO(body)
    response.headers["Content-Type"] = "application/json"
    return response


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    while chunk := response.raw.read1(CHUNK, decode_content=True):  # in pieces as they arrive, unpacked
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise SourceError("too_long", f"{response.url} sent more than {LARGEST:,} bytes")
    return b"".join(chunks)


def _excerpt(body: bytes | str) -> str:
    return repr(body[:200].decode("utf-8", "replace") if isinstance(body, bytes) else body[:200])
