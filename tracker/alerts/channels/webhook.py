"""A webhook: POSTs notices as signed JSON to an address of the operator.

The signature is HMAC-SHA256 over ``TIMESTAMP.BODY`` (as Stripe does), so that a receiver can check that the notice is
ours and new. ``Idempotency-Key`` is the same for every try (draft-ietf-httpapi-idempotency-key-header).
"""

import hmac
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from pydantic import AfterValidator

from tracker import http
from tracker.alerts import channels
from tracker.alerts.channels.reach import guarded, masked
from tracker.alerts.tables import Expected, Secret
from tracker.clock import wall
from tracker.errors import ChannelError
from tracker.models import Notice

#: So many bytes of an answer are read.
ANSWER = 2_000
#: Statuses that mean "not now", besides those of 500 and above.
LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def address(url: str) -> str:
    """``url`` if a webhook can use it; raises Expected."""
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or True)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.fragment:
        raise Expected("an http:// or https:// URL that names a host, and no user or fragment")
    return url


class Channel(channels.Channel):
    """url: of the receiver; secret: signs, if given; allow_private: also to addresses that are not public."""

    PATIENCE: ClassVar[int] = http.CONNECT_TIMEOUT * 2 + http.DEADLINE
    CEILING: ClassVar[int] = 0

    url: Annotated[Secret, AfterValidator(address)]
    secret: Secret = ""
    allow_private: bool = False

    def send(self, notice: Notice) -> str:
        body = orjson.dumps(document(notice))
        headers = {
            "Content-Type": "application/json", "Accept-Encoding": "identity", "Idempotency-Key": notice.id,
        }  # fmt: skip
        if self.secret:
            timestamp = str(int(wall()))
            headers |= {
                "X-Tracker-Timestamp": timestamp,
                "X-Tracker-Signature": signature(self.secret, timestamp, body),
            }
        with guarded(self.allow_private):
            return self._posted(body, headers)

    def _posted(self, body: bytes, headers: dict[str, str]) -> str:
        try:
            with self._session.post(
                self.url, data=body, headers=headers, stream=True, allow_redirects=False,
                timeout=(http.CONNECT_TIMEOUT, http.READ_TIMEOUT),
            ) as answer:  # fmt: skip
                return _judged(answer, self.url)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise ChannelError(_fault(error)) from None  # the cause holds the URL, which may be a secret

    @cached_property
    def _session(self) -> requests.Session:
        return http.prepared(http.Plain(), {})


def document(notice: Notice) -> dict[str, Any]:
    """The body of a webhook, as docs/alerts.md describes it."""
    names = ("id", "key", "event", "severity", "title", "text", "at", "context", "link")
    told = {name: getattr(notice, name) for name in names}
    told["picture"] = notice.picture_link
    told["actions"] = {action.name: action.url for action in notice.actions}
    return told | {"alert": asdict(notice.alert) | {"id": notice.alert.id} if notice.alert else None}


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-Tracker-Signature``; ``timestamp``: Unix seconds as text."""
    return "v1=" + hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()


def _judged(answer: requests.Response, url: str) -> str:
    """The answer in a few words; raises ChannelError unless the receiver took the notice."""
    said = f"answered {answer.status_code}{_excerpt(answer, url)}"
    if 200 <= answer.status_code < 300:
        return said
    status = answer.status_code
    raise ChannelError(said, permanent(status), status, http.seconds(answer.headers.get("Retry-After", "")))


def permanent(status: int) -> bool:
    """Whether a failure with this HTTP status will stay, so that another try is useless."""
    return status < 500 and status not in LATER


def _excerpt(answer: requests.Response, url: str) -> str:
    """The beginning of the body, masked: many servers repeat the path there, and a token with it."""
    with suppress(urllib3.exceptions.HTTPError, OSError):  # the status alone says enough
        if body := answer.raw.read1(ANSWER):
            return f": {masked(body.decode('utf-8', 'replace'), url)[:200]!r}"
    return ""


def _fault(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate was not accepted"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "could not be reached, or closed the connection"
    return f"did not answer as HTTP servers do ({type(error).__name__})"
