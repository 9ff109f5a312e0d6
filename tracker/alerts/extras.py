"""What a notice has besides its text: what is around its alert, a picture, and links. It is added at sending."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

from tracker.alerts import links, picture
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.context import Context
from tracker.alerts.links import Links
from tracker.clock import wall
from tracker.models import FIRING, REMINDER, Alert, Notice
from tracker.settings import Settings
from tracker.store.connection import connect
from tracker.store.series import Store

log = logging.getLogger(__name__)

#: Seconds that a notice waits for what is read from the store, and for its picture. Then it is sent without.
LONGEST = 1.0
#: Seconds for the store to answer one command, and of silence after a failure.
PATIENCE, PAUSE = 0.5, 5


class Extras:
    """Adds to notices what ``settings`` allow. A process keeps one.

    It reads on a connection and threads of its own: a slow store does not hold up notices.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._reader = ThreadPoolExecutor(1, "extras")
        self._artist = ThreadPoolExecutor(1, "pictures")

    def added(self, notice: Notice, outlet: ConfiguredChannel, is_first: bool = True) -> Notice:
        """``notice`` with all that a channel of this kind shows: context, a picture, and links if PUBLIC_URL is set.

        Only the first try has a picture: perhaps the receiver cannot take it.
        """
        if self._settings.public_url:
            notice = replace(notice, link=links.page(self._settings.public_url, notice.alert))
        alert = notice.alert
        if not alert or notice.event not in (FIRING, REMINDER) or not outlet.channel.DETAILED:
            return notice
        until = time.monotonic() + LONGEST
        attaches = outlet.channel.attaches()
        drawing = self._artist.submit(self._draw, alert) if attaches and is_first else None
        reading = self._reader.submit(self._read, alert, outlet.name, attaches)
        notice = replace(notice, **_result(reading, until, notice, "links and context"))
        return replace(notice, **_result(drawing, until, notice, "picture")) if drawing else notice

    def _read(self, alert: Alert, channel: str, attaches: bool) -> dict[str, Any]:
        """Links and context, as far as they can be had."""
        url, found = self._settings.public_url, dict[str, Any]()
        try:
            if url:
                signing, now = Links(self._store.redis), wall()
                found["actions"] = signing.actions(url, alert.id, channel, now)
                if not attaches and alert.kind in picture.DRAWN:
                    found["picture_link"] = signing.signed(links.PICTURE, url, alert.id, channel, now)
            found["context"] = self._context.of(alert, self._settings.clock.now())
        except Exception as error:  # whatever it is, the notice is worth more
            log.warning("%s: sent without all that is around it: %s: %s", alert.id, type(error).__name__, error)
        return found

    def _draw(self, alert: Alert) -> dict[str, Any]:
        try:
            now = self._settings.clock.now()
            return {"picture": picture.drawn(self._store, self._settings.sources, alert, now)}
        except Exception as error:  # as above
            log.warning("%s: sent without a picture: %s: %s", alert.id, type(error).__name__, error)
            return {}

    @cached_property
    def _context(self) -> Context:
        return Context(self._store, self._settings.sources)

    @cached_property
    def _store(self) -> Store:
        settings = self._settings
        redis = connect(settings.redis_url, tries=1, patience=PATIENCE, pause=PAUSE, local=settings.redis_socket)
        return Store(redis, settings.ring)


def _result(reading: Future[dict[str, Any]], until: float, notice: Notice, what: str) -> dict[str, Any]:
    """What ``reading`` found; nothing if it is not there at ``until``, by the monotonic clock."""
    try:
        return reading.result(max(until - time.monotonic(), 0))
    except TimeoutError:
        reading.cancel()
        log.warning("%s: sent without %s: they take too long", notice.id, what)
        return {}
