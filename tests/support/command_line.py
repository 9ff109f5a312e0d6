"""The command line as click has it."""

from typing import Any

import click

from tracker.commands.cli import root


def commands() -> dict[str, set[str]]:
    """Command -> the subcommands of which it needs one."""
    groups = {name: each for name, each in root.commands.items() if isinstance(each, click.Group)}
    needed = {name: set(each.commands) for name, each in groups.items() if not each.invoke_without_command}
    return {name: needed.get(name, set()) for name in root.commands}


def parsed(name: str, *words: str) -> dict[str, Any]:
    """The flags and arguments of a command without subcommands. Raises click.UsageError for bad usage."""
    return root.commands[name].make_context(name, [*words]).params
