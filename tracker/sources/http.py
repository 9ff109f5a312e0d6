"""GET a JSON document, bounded in time and size; whatever goes wrong is a SourceError with a counted reason."""

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
from tracker.sources import Pay, free, heard

#: Bytes of an answer, unpacked: parsed, JSON may take 30 x. The largest real one, 20,000 markets, has about 4 MB.
LARGEST = 8_000_000
CHUNK = 65_536
#: Seconds to stay away where a source says that it was asked too much, but not until when; at most, whatever it says.
PAUSES = {429: 60, 418: 120}
LONGEST_PAUSE = 3 * 86_400
#: The header field of the only API key that is sent.
KEY = "X-CW-API-Key"
#: Binance names the end of a ban in words: "IP banned until 1659761931230."
BANNED_UNTIL = re.compile(rb"banned until (\d{13})")


def session(headers: dict[str, str], pay: Pay = free) -> "Session":
    """A source's session."""
    return http.prepared(Session(pay), headers)


class Session(requests.Session):
    """Every request is paid for first, and its answer is read in bounds: it raises SourceError, or MustWait.

    It is sent as it is: no redirect is followed, no cookie kept, no hook called.
    """

    def __init__(self, pay: Pay):
        super().__init__()
        self.pay = pay
        self._ready: requests.PreparedRequest | None = None
        self._dated = ("", 0.0)  # the last answer's header Date, and when it was sent by our clock

    def fetch(self, url: str, params: dict[str, Any] | None = None) -> requests.Response:
        """``get``, without preparing for each request what only differs by its URL: a fifth of what one costs."""
        if not self._ready:
            self._ready = self.prepare_request(requests.Request("GET", url))
        request = self._ready.copy()
        if params:
            given = {name: value for name, value in params.items() if value is not None}
            url += ("&" if "?" in url else "?") + urlencode(given, doseq=True)
        request.prepare_url(url, None)
        return self.send(request)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """The answer, read; whatever options would loosen its bounds are left out.

        One that is known from a refresh which had to wait is not asked for, nor paid for, again.
        """
        url, known = str(request.url), _named(request) if heard.is_kept() else ""
        if body := heard.recall(known):
            return _again(request, body)
        self.pay(url)
        bounds = (http.CONNECT_TIMEOUT, http.READ_TIMEOUT)
        sent = wall()
        try:
            with self.get_adapter(url).send(request, stream=True, timeout=bounds) as response:
                body = _read(response)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise SourceError("too_slow", f"{url} did not answer in time: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # odd headers
            raise SourceError("unreachable", f"{url}: {error}") from error
        self._dated = response.headers.get("Date", ""), (sent + wall()) / 2
        response.raw = io.BytesIO(body)
        if response.status_code == 200:
            heard.note(known, body)
        return response

    @property
    def skew(self) -> float | None:
        """Seconds that the server's clock is ahead of ours, by its last answer; None if it does not say.

        Dates have their seconds cut off: on average they are half a second behind.
        """
        stamp, ours = self._dated
        theirs = http.unix_seconds(stamp)
        return theirs + 0.5 - ours if theirs else None


def get_json(session: Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """The JSON document at ``url``.

    Raises SourceError: ``unreachable``, ``too_slow``, ``too_long``, ``http_NNN`` for a status other than 200,
    ``not_json``; and MustWait.
    """
    try:
        response = session.fetch(url, params)
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
    wait = http.seconds(response.headers.get("Retry-After", "")) or PAUSES.get(status, 0)
    if banned := BANNED_UNTIL.search(body):
        wait = int(banned[1]) / 1000 - wall()
    if response.request and (key := str(response.request.headers.get(KEY, ""))):
        body = body.replace(key.encode(), b"***")  # some repeat a key that they refuse
    return SourceError(
        f"http_{status}",
        f"{response.url} answered {status}: {_excerpt(body)}",
        wait=min(max(wait, 0), LONGEST_PAUSE),
        permanent=status in (401, 451),
    )


def _named(request: requests.PreparedRequest) -> str:
    """What tells a request from others of its source."""
    return hashlib.sha256(repr((request.method, request.url, request.body)).encode()).hexdigest()


def _again(request: requests.PreparedRequest, body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason, response.encoding = 200, "OK", "utf-8"
    response.request, response.url, response.raw = request, str(request.url), io.BytesIO(body)
    response.headers["Content-Type"] = "application/json"
    return response


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
