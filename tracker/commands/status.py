"""The command ``status``: how the whole tracker does, on one screen."""

from typing import Any

import click

from tracker.commands.terminal import configured, show


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for programs.")
@configured
def status(settings: Any, as_json: bool) -> None:
    """Show how the whole tracker does, on one screen.

    It works on any machine that reaches the store. Exit status 1 means that something is wrong; it says what to do.
    """
    from tracker.doctor import machine, of_tracker, screen
    from tracker.doctor.overview import look

    overview = look(settings)
    found = [*of_tracker(overview), *machine.files(settings)]
    problems = [each for each in found if each.state == "problem"]
    show(screen.as_json(overview, problems) if as_json else screen.text(overview, problems))
    if problems:
        raise SystemExit(1)
