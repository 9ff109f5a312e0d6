"""What the commands ``rules check``, ``channels test`` and ``deliveries`` say, as text for a terminal."""

import time
from collections.abc import Sequence

from tracker.alerts.outbox import Outbox
from tracker.alerts.rulebook import Rulebook
from tracker.alerts.sender import trial
from tracker.clock import utc
from tracker.errors import ChannelError, TrackerError
from tracker.models import Delivery
from tracker.plain import plain
from tracker.settings import Settings
from tracker.store.connection import connect


def describe_rules(settings: Settings) -> str:
    """The rules and channels in the file; raises SettingsError with the line that is not usable."""
    book = Rulebook(settings.rules).current()
    rules = [
        f"  {rule.name:24}{rule.KIND:10}{', '.join(rule.match):32} -> {', '.join(rule.channels) or 'nobody'}"
        for rule in book.rules
    ]
    channels = [f"  {name:24}{outlet.kind}" for name, outlet in book.outlets.items()]
    where = settings.rules or "built in, RULES names no file"
    return "\n".join([f"rules ({where}):", *rules, "channels:", *channels, "ok"])


def try_channel(settings: Settings, name: str) -> str:
    """Sends a test notice; raises TrackerError with what the other side said if it did not take it."""
    outlets = Rulebook(settings.rules).current().outlets
    if name not in outlets:
        raise TrackerError(f"no channel {name}: there are {', '.join(outlets)}")
    try:
        return f"sent: {outlets[name].channel.send(trial(name, time.time()))}"
    except ChannelError as error:
        raise TrackerError(f"{name} did not take it: {error}") from error


def dead_letters(settings: Settings) -> str:
    """The notices that were given up, the newest first, and why."""
    dead = _outbox(settings).deliveries.dead()
    lines = [f"{utc(row.attempts[-1].at)}  {row.id}  {_told(row)}" for row in dead]
    return "\n".join([*lines, f"{len(dead)} dead"])


def redrive(settings: Settings, ids: Sequence[str]) -> str:
    """Lets those of ``ids``, or all that were given up, be sent again; raises TrackerError if there are none."""
    done = _outbox(settings).deliveries.redrive(ids or None)
    if ids and not done:
        raise TrackerError("none of these is dead: python -m tracker deliveries list")
    return "\n".join([*done, f"{len(done)} to be sent again"])


def _told(row: Delivery) -> str:
    return f"{len(row.attempts)} tries, the last: {plain(row.attempts[-1].detail)}"


def _outbox(settings: Settings) -> Outbox:
    return Outbox(connect(settings.redis_url, tries=1, patience=5))
