"""Which rows of the outbox a new alert gets: who is told at once, who later, and who is reminded. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.models import FIRING, REMINDER, Delivery


def rows(alert: str, channels: Sequence[str], definition: Mapping[str, Any]) -> list[Delivery]:
    """The rows of the new ``alert`` (its id): one for each of ``channels``, and those that its rule asks for.

    ``definition``: the rule, as Rule.definition. Each channel of ``then`` gets a notice after ``then_after`` seconds,
    and each channel that is told gets reminders. The sender leaves out what is not needed any more.
    """
    told = [Delivery(alert, channel, FIRING) for channel in channels]
    told += [Delivery(alert, channel, FIRING, wait=definition["then_after"]) for channel in definition.get("then", ())]
    if every := definition.get("remind"):
        return told + [Delivery(alert, row.channel, REMINDER, wait=every) for row in told]
    return told


def waiting(alert: str, rows: Sequence[str], definition: Mapping[str, Any]) -> list[str]:
    """Those of the ``rows`` of ``alert`` (ids) that are sent only while it fires unacknowledged."""
    later = {Delivery(alert, channel, FIRING).id for channel in definition.get("then", ())}
    return [row for row in rows if row in later or row.endswith(f"/{REMINDER}")]
