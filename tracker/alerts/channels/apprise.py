"""Channels to people by Apprise: Twilio, Pushover, PagerDuty, Slack, Telegram, Discord, e-mail, ntfy and 130 more.

A channel has one URL (https://github.com/caronc/apprise/wiki), so that the outbox can try each service by itself.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from threading import Lock
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import quote, urlencode

import requests
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.attachment.memory import AttachMemory
from apprise.plugins import NotifyBase
from apprise.plugins.ntfy import NotifyNtfy
from pydantic import AfterValidator

from tracker.alerts import channels
from tracker.alerts.channels.reach import guarded, masked
from tracker.alerts.channels.webhook import permanent
from tracker.alerts.tables import Expected, Secret
from tracker.errors import ChannelError
from tracker.http import seconds
from tracker.models import RESOLVED, Notice

#: Seconds to connect, and to wait for the next byte of an answer. A slow service may have taken the notice and would
#: get it again, so the wait is long. E-mail has one limit for both.
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 15
TYPES = {"info": NotifyType.INFO, "warning": NotifyType.WARNING, "critical": NotifyType.FAILURE}
#: Apprise makes no tries of its own, does not wait, and starts no thread for a time limit, which it would leave behind.
ASSET = AppriseAsset(
    app_id="data-tracker", app_desc="data-tracker", async_mode=False, default_service_retry=0, service_timeout=0,
    secure_logging=True,
)  # fmt: skip

# Its log may hold parts of the URL. The outbox keeps the same text, masked.
logging.getLogger("apprise").propagate = False


def service_url(url: str) -> str:
    """``url`` if Apprise has a service for it; raises Expected."""
    if not Apprise.instantiate(url, asset=ASSET, suppress_exceptions=True):
        raise Expected("a URL of a service that Apprise knows, e.g. pover://user@token or mailto://user:password@host")
    return url


class Channel(channels.Channel):
    """url: of the service, with its keys; allow_private: also to addresses that are not public."""

    PATIENCE: ClassVar[int] = 45
    CEILING: ClassVar[int] = 5

    url: Annotated[Secret, AfterValidator(service_url)]
    allow_private: bool = False

    def attaches(self) -> bool:
        service: Any = Apprise.instantiate(self.url, asset=ASSET)
        return bool(service.attachment_support)

    def send(self, notice: Notice) -> str:
        with guarded(self.allow_private):
            try:
                return self._sent(notice)
            except ChannelError as error:
                if not (notice.picture and error.permanent):
                    raise
            return self._sent(replace(notice, picture=b""))  # perhaps it takes no files, as an ntfy of one's own

    def _sent(self, notice: Notice) -> str:
        service = self._service(notice)
        lines = notice.lines()
        if isinstance(service, NotifyNtfy) and notice.link:
            service = self._service(notice, _buttons(notice))
            lines = [notice.text, *notice.context]
        apprise = Apprise(asset=ASSET)
        apprise.add(service)
        with _noted() as answers:
            results = apprise.notify(
                body=_fitting(lines, service.body_maxlen - len(notice.title)), title=notice.title,
                notify_type=NotifyType.SUCCESS if notice.event == RESOLVED else TYPES[notice.severity],
                attach=_attached(notice), body_format=NotifyFormat.TEXT,  # Telegram and mail take HTML unless told
            )  # fmt: skip
        said = masked("; ".join([
            f"{result.name}: {result.status.name.lower()}{''.join(f': {line.message}' for line in result.logs())}"
            for result in results
        ]), self.url)  # fmt: skip
        if not results:
            raise ChannelError(said or "no service was found", *_verdict(answers))
        return said

    def _service(self, notice: Notice, options: Mapping[str, str] = MappingProxyType({})) -> NotifyBase:
        """The service of the URL, with more ``options`` in it.

        A new service for each notice: a kept one would wait between two notices, within our time limit.
        """
        more = f"{'&' if '?' in self.url else '?'}{urlencode(options, quote_via=quote)}" if options else ""
        service: Any = Apprise.instantiate(self.url + more, asset=ASSET)
        service.retry = 0  # a URL may ask for more
        service.socket_connect_timeout = min(max(CONNECT_TIMEOUT, service.socket_connect_timeout), READ_TIMEOUT)
        service.socket_read_timeout = READ_TIMEOUT
        if hasattr(service, "dedup"):  # PagerDuty and its kin: a success resolves the incident with the same key
            service.dedup, service.action = notice.key, "map"
        return cast(NotifyBase, service)


def _buttons(notice: Notice) -> dict[str, str]:
    """Options for a service of ntfy: a tap opens the alert, and each action has a button."""
    buttons = "; ".join(f"view, {action.label}, {action.url}, clear=true" for action in notice.actions)
    return {"click": notice.link} | ({"actions": buttons} if buttons else {})


def _attached(notice: Notice) -> Any:
    make: Any = AttachMemory  # it has no types
    return make(notice.picture, name="alert.png", mimetype="image/png") if notice.picture else None


def _fitting(lines: Sequence[str], most: int) -> str:
    """The first of ``lines``, and those of the others that fit in whole: a text message is short.

    Services refuse for good what is too long, and a digest has lines of its own.
    """
    body, *others = "\n".join(lines).split("\n")
    for line in others:
        if len(body) + 1 + len(line) <= most:
            body = f"{body}\n{line}"
    return body


def _verdict(answers: list[requests.Response]) -> tuple[bool, int | None, float | None]:
    """(permanent, status, retry_after) by the last HTTP answer that was a refusal."""
    refused = [answer for answer in answers if answer.status_code >= 400]
    if not refused:
        return False, None, None
    status = refused[-1].status_code
    return permanent(status), status, seconds(refused[-1].headers.get("Retry-After", ""))


#: The answers to the requests of this context: Apprise reports neither their status nor Retry-After.
_answers: ContextVar[list[requests.Response] | None] = ContextVar("answers", default=None)
_send = requests.Session.send
_lock = Lock()
_sends_under_way = 0


@contextmanager
def _noted() -> Iterator[list[requests.Response]]:
    """Yields the list that gets the answers of this context. ``requests`` is patched while one send is under way."""
    answers: list[requests.Response] = []
    token = _answers.set(answers)
    try:
        with _patched():
            yield answers
    finally:
        _answers.reset(token)


@contextmanager
def _patched() -> Iterator[None]:
    """The first send of several at once patches ``requests``, the last one to end takes the patch away."""
    global _send, _sends_under_way
    with _lock:
        if not _sends_under_way:
            _send = requests.Session.send
            requests.Session.send = _noting_send  # type: ignore[method-assign, assignment]  # requests has no such hook
        _sends_under_way += 1
    try:
        yield
    finally:
        with _lock:
            _sends_under_way -= 1
            if not _sends_under_way:
                requests.Session.send = _send  # type: ignore[method-assign]  # what it was before


def _noting_send(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
    answer = _send(session, request, **options)
    if (answers := _answers.get()) is not None:
        answers.append(answer)
    return answer
