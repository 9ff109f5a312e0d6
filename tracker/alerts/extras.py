"""What a notice has besides its text. It is added when the notice is sent."""

from dataclasses import replace

from tracker.alerts import links
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.context import Context
from tracker.models import FIRING, REMINDER, Notice
from tracker.settings import Settings


class Extras:
    """Adds to notices what ``settings`` allow. A process keeps one."""

    def __init__(self, settings: Settings):
        self._public_url = settings.public_url
        self._context = Context(settings)

    def added(self, notice: Notice, outlet: ConfiguredChannel) -> Notice:
        """``notice`` with all that a channel of this kind shows: context, and links if PUBLIC_URL is set."""
        if self._public_url:
            notice = replace(notice, link=links.page(self._public_url, notice.alert))
        if notice.alert and notice.event in (FIRING, REMINDER) and outlet.channel.DETAILED:
            notice = replace(notice, context=self._context.of(notice.alert))
        return notice
