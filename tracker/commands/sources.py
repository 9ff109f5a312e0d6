"""The commands ``sources``: how each source does."""

from typing import Any

import click

from tracker.commands.terminal import configured, show


@click.group(invoke_without_command=True)
@click.pass_context
def sources(context: click.Context) -> None:
    """Show how each source does, or check one source."""
    if context.invoked_subcommand is None:
        report()


@configured
def report(settings: Any) -> None:
    from tracker.sources.budget import check as check_budgets
    from tracker.sources.status import report

    check_budgets(settings)
    show(report(settings))


@sources.command()
@click.argument("name", metavar="NAME")
@configured
def check(settings: Any, name: str) -> None:
    """Ask the source NAME once and explain its answer.

    Exit status 1 means that the source is not usable. NAME is written as in SOURCES, but need not be listed there.
    """
    from tracker.sources.budget import check as check_budgets
    from tracker.sources.check import dry_fetch

    check_budgets(settings)
    for line in dry_fetch(name, settings):
        show(line)
