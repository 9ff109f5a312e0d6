"""What a notice has besides its text: what is around its alert, and links. It is added when the notice is sent."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property

from tracker.alerts import links
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.context import Context
from tracker.alerts.links import Links
from tracker.clock import wall
from tracker.models import FIRING, REMINDER, Notice
from tracker.settings import Settings
from tracker.store.connection import connect
from tracker.store.series import Store

log = logging.getLogger(__name__)

#: Seconds that a notice waits for what is read from the store. Then it is sent without.
LONGEST = 1.0
#: Seconds for the store to answer one command, and of silence after a failure.
PATIENCE, PAUSE = 0.5, 5


class Extras:
    """Adds to notices what ``settings`` allow. A process keeps one.

    It reads on a connection and a thread of its own: a slow store does not hold up notices.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._reader = ThreadPoolExecutor(1, "extras")

    def added(self, notice: Notice, outlet: ConfiguredChannel) -> Notice:
        """``notice`` with all that a channel of this kind shows: context, and links if PUBLIC_URL is set."""
        if self._settings.public_url:
            notice = replace(notice, link=links.page(self._settings.public_url, notice.alert))
        if not notice.alert or notice.event not in (FIRING, REMINDER) or not outlet.channel.DETAILED:
            return notice
        reading = self._reader.submit(self._read, notice, outlet.name)
        try:
            return reading.result(LONGEST)
        except TimeoutError:
            reading.cancel()
            log.warning("%s: sent with its text alone: the store is slow", notice.id)
            return notice

    def _read(self, notice: Notice, channel: str) -> Notice:
        """``notice`` with context and actions, as far as they can be had."""
        alert, public_url = notice.alert, self._settings.public_url
        try:
            if alert and public_url:
                made = Links(self._store.redis).actions(public_url, alert.id, channel, wall())
                notice = replace(notice, actions=made)
            if alert:
                notice = replace(notice, context=self._context.of(alert, self._settings.clock.now()))
        except Exception as error:  # whatever it is, the notice is worth more
            log.warning("%s: sent without all that is around it: %s: %s", notice.id, type(error).__name__, error)
        return notice

    @cached_property
    def _context(self) -> Context:
        return Context(self._store, self._settings.sources)

    @cached_property
    def _store(self) -> Store:
        settings = self._settings
        redis = connect(settings.redis_url, tries=1, patience=PATIENCE, pause=PAUSE, local=settings.redis_socket)
        return Store(redis, settings.ring)
