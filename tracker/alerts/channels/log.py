"""The log as a channel: a notice is one line in the log of the notify worker."""

import logging
from typing import ClassVar

from tracker.alerts import channels
from tracker.models import DIGEST, FIRING, Notice

log = logging.getLogger(__name__)


class Channel(channels.Channel):
    """It has no options of its own."""

    PATIENCE: ClassVar[int] = 5
    CEILING: ClassVar[int] = 0
    DETAILED: ClassVar[bool] = False

    def send(self, notice: Notice) -> str:
        said = f"{notice.title} | {notice}" if notice.event == DIGEST else str(notice)
        text = f"{said} {notice.link}".rstrip().replace("\n", " | ")  # a digest has several lines
        log.warning("%s %s", "ALERT" if notice.event == FIRING else notice.event.upper(), text)
        return "logged"
