"""The log as a channel: a notice is a line that a person finds in the log of the notify worker."""

import logging

from tracker.models import Alert

log = logging.getLogger(__name__)


def send(alert: Alert) -> None:
    log.warning("ALERT %s", alert)
