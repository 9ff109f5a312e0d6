"""The command ``config``: every setting, its value on this machine, and where the value came from."""

import os
from collections.abc import Mapping
from dataclasses import fields

import click

from tracker.commands.terminal import show


@click.command()
def config() -> None:
    """Show every setting, its value and where it came from.

    Secrets are masked. A bad value is shown too, and then ends the command with status 1.
    """
    from tracker.settings import load
    from tracker.sources import known

    show("\n".join(f"{name:29}{value or '(empty)':40}  {origin}" for name, value, origin in rows(os.environ)))
    known(load())


def rows(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(name, value, origin) of each variable. Raises SettingsError for a file that cannot be read."""
    from tracker.environment import masked, origin, text
    from tracker.settings import Settings

    found = []
    for each in (field.metadata for field in fields(Settings)):
        name = each["name"]
        value = text(environment, name) or each["default"]
        found.append((name, masked(value, each["secret"]), origin(environment, name)))
    return found
