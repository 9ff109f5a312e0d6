"""What a notice has besides its text. It is added when the notice is sent."""

from dataclasses import replace

from tracker.alerts import links
from tracker.models import Notice
from tracker.settings import Settings


class Extras:
    """Adds to notices what ``settings`` allow. A process keeps one."""

    def __init__(self, settings: Settings):
        self._public_url = settings.public_url

    def added(self, notice: Notice) -> Notice:
        """``notice`` with a link to its alert, if PUBLIC_URL is set."""
        return replace(notice, link=links.page(self._public_url, notice.alert)) if self._public_url else notice
