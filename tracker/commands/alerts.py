"""The commands ``rules``, ``channels``, ``alerts`` and ``deliveries``."""

import getpass
import time
from typing import TYPE_CHECKING, Any

import click

from tracker.clock import utc
from tracker.commands.terminal import configured, show
from tracker.errors import ChannelError, TrackerError
from tracker.plain import plain

if TYPE_CHECKING:
    from tracker.alerts.outbox import Outbox


@click.group()
def rules() -> None:
    """Check the rules file, or see when its rules would have fired."""


@rules.command("check")
@configured
def check_rules(settings: Any) -> None:
    """Show what is in the rules file, or what is wrong with it."""
    from tracker.alerts.rulebook import Rulebook

    book = Rulebook(settings.rules).current()
    lines = [f"  {rule.name:24}{rule.KIND:10}{', '.join(rule.match):32} -> {_told(rule)}" for rule in book.rules]
    channels = [f"  {name:24}{outlet.kind}" for name, outlet in book.outlets.items()]
    quiet = ["quiet hours:", *(f"  {each}" for each in book.quiet)] if book.quiet else []
    where = settings.rules or "built in, RULES names no file"
    show("\n".join([f"rules ({where}):", *lines, "channels:", *channels, *quiet, "ok"]))


@rules.command()
@click.option("--rule", metavar="NAME", help="Only this rule.")
@click.option("--metric", metavar="GLOB", help="Only metrics that match this pattern.")
@click.option("--candles", "folder", metavar="DIR", help="Use the candle files in this folder.")
@configured
def backtest(settings: Any, rule: str | None, metric: str | None, folder: str | None) -> None:
    """Show when rules would have fired.

    It goes through the stored 24 hours, or through candle files.
    """
    from tracker.alerts.backtest import report

    show(report(settings, rule, metric, folder))


@click.group()
def channels() -> None:
    """Try a channel."""


@channels.command("test")
@click.argument("name", metavar="NAME")
@configured
def try_channel(settings: Any, name: str) -> None:
    """Send a test notice to the channel NAME of the rules file."""
    from tracker.alerts.extras import Extras
    from tracker.alerts.rulebook import Rulebook
    from tracker.alerts.sender import trial

    outlets = Rulebook(settings.rules).current().outlets
    if name not in outlets:
        raise TrackerError(f"no channel {name}: there are {', '.join(outlets)}")
    try:
        notice = Extras(settings).added(trial(name, time.time()), outlets[name])
        show(f"sent: {outlets[name].channel.send(notice)}")
    except ChannelError as error:
        raise TrackerError(f"{name} did not take it: {error}") from error


@click.group()
def alerts() -> None:
    """List alerts, or acknowledge one."""


@alerts.command("list")
@click.option("--firing", is_flag=True, help="Only those that are not over.")
@click.option("--count", default=20, show_default=True, help="At most this many.")
@configured
def list_alerts(settings: Any, firing: bool, count: int) -> None:
    """List the newest alerts, the last one first."""
    from itertools import islice

    wanted = (alert for _, alert in _outbox(settings).walk() if alert.state == "firing" or not firing)
    lines = []
    for alert in islice(wanted, count):
        by = f", acknowledged by {plain(alert.acknowledged['by'])}" if alert.acknowledged else ""
        lines.append(f"{utc(alert.slot)}  {alert.state}{by}  {plain(str(alert))}")
    show("\n".join([*lines, f"{len(lines)} alerts"]))


@alerts.command("acknowledge")
@click.argument("id", metavar="ID")
@click.option("--by", metavar="NAME", default=getpass.getuser, show_default="you", help="Who takes it on.")
@click.option("--comment", metavar="TEXT", default="", help="A comment.")
@configured
def acknowledge_alert(settings: Any, id: str, by: str, comment: str) -> None:
    """Take an alert on: its reminders stop."""
    from tracker.alerts.outbox import LONGEST_COMMENT, LONGEST_NAME

    _noted(_outbox(settings).acknowledge(id, by[:LONGEST_NAME], comment[:LONGEST_COMMENT], time.time()), id)
    show(f"acknowledged: {id}")


@alerts.command("take-back")
@click.argument("id", metavar="ID")
@configured
def take_back(settings: Any, id: str) -> None:
    """Take an acknowledgement back: reminders go on."""
    _noted(_outbox(settings).take_back(id), id)
    show(f"not acknowledged: {id}")


@click.group()
def deliveries() -> None:
    """List notices that could not be sent, or send them again."""


@deliveries.command("list")
@configured
def list_dead(settings: Any) -> None:
    """List the notices that were given up, newest first."""
    dead = _outbox(settings).deliveries.dead()
    lines = [
        f"{utc(row.attempts[-1].at)}  {row.id}  {len(row.attempts)} tries, the last: {plain(row.attempts[-1].detail)}"
        for row in dead
    ]
    show("\n".join([*lines, f"{len(dead)} dead"]))


@deliveries.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@configured
def redrive(settings: Any, ids: tuple[str, ...]) -> None:
    """Send given-up notices again. Without an ID: all of them."""
    done = _outbox(settings).deliveries.redrive(ids or None)
    if ids and not done:
        raise TrackerError("none of these is dead: python -m tracker deliveries list")
    show("\n".join([*done, f"{len(done)} to be sent again"]))


def _told(rule: Any) -> str:
    told = ", ".join(rule.channels) or "nobody"
    reminded = f", again every {rule.remind} s" if rule.remind else ""
    later = f", after {rule.then_after} s also {', '.join(rule.then)}" if rule.then else ""
    return f"{told}{reminded}{later}"


def _noted(found: bool, id: str) -> None:
    if not found:
        raise TrackerError(f"no alert {id}: python -m tracker alerts list")


def _outbox(settings: Any) -> "Outbox":
    from tracker.alerts.outbox import Outbox
    from tracker.store.connection import connect

    return Outbox(connect(settings.redis_url, tries=1, patience=5))
