"""The commands ``refused``: messages in the queues that no worker took."""

from typing import TYPE_CHECKING, Any

import click

from tracker.clock import utc
from tracker.commands.terminal import configured, show

if TYPE_CHECKING:
    from tracker.worker.refused import Refused


@click.group()
def refused() -> None:
    """Show messages that no worker could take.

    They stood in the queues, but cannot be tasks.
    """


@refused.command("list")
@configured
def list_refused(settings: Any) -> None:
    """List the messages and the reasons, newest first."""
    kept = _refused(settings).all()
    lines = [f"{utc(each.at)}  {each.queue:9} {each.reason}\n    {each.text}" for each in kept]
    show("\n".join([*lines, f"{len(kept)} refused"]))


@refused.command()
@configured
def clear(settings: Any) -> None:
    """Delete all these messages."""
    show(f"{_refused(settings).clear()} cleared")


def _refused(settings: Any) -> "Refused":
    from tracker.store.connection import connect
    from tracker.worker.refused import Refused

    return Refused(connect(settings.redis_url, tries=1, patience=5))
