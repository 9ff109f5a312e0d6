"""The log as a channel: a notice is a line that a person finds in the log of the notify worker."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from tracker.models import FIRING, Notice

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Has no options."""

    PATIENCE: ClassVar[int] = 5
    CEILING: ClassVar[int] = 0

    def send(self, notice: Notice) -> str:
        text = str(notice).replace("\n", " | ")  # a digest has a line for each
        log.warning("%s %s", "ALERT" if notice.event == FIRING else notice.event.upper(), text)
        return "logged"
