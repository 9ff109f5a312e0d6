"""The commands ``keys``: the API's keys."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tracker.commands.terminal import configured, show
from tracker.errors import TrackerError
from tracker.plain import plain

if TYPE_CHECKING:
    from tracker.store.api_keys import Keys


@click.group()
def keys() -> None:
    """Make, list or revoke the API's keys."""


@keys.command()
@click.argument("name", metavar="NAME")
@click.option("--scope", type=click.Choice(["read", "admin"]), default="read", help="What it allows. Default: read.")
@configured
def create(settings: Any, name: str, scope: str) -> None:
    """Make a key and show it, only this once. The list shows the key's NAME."""
    show(_keys(settings).create(name, scope, settings.clock.now()))


@keys.command("list")
@configured
def list_keys(settings: Any) -> None:
    """Show id, scope, date and name of every key."""
    for key in _keys(settings).all().values():
        show(f"{key.id}  {key.scope:5}  {_day(key.created)}  {plain(key.name)}")


@keys.command()
@click.argument("id", metavar="ID")
@configured
def revoke(settings: Any, id: str) -> None:
    """Make the key ID worthless. The list shows the ids."""
    if not _keys(settings).revoke(id):
        raise TrackerError(f"there is no key {id!r}: `python -m tracker keys list` shows those that are")
    show(f"revoked {id}")


def _keys(settings: Any) -> "Keys":
    from tracker.store.api_keys import Keys
    from tracker.store.connection import connect

    return Keys(connect(settings.redis_url, tries=1, patience=3))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
