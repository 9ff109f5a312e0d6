"""The command ``doctor``: finds the usual faults and says what to do."""

from typing import Any

import click

from tracker.commands.terminal import configured, show
from tracker.plain import plain

SIGNS = {"ok": "ok", "problem": "PROBLEM", "unknown": "?"}


@click.command()
@configured
def doctor(settings: Any) -> None:
    """Find the usual faults, and say what to do.

    It checks the store, the parts on all machines, the work, and this machine. Exit status 1 means that it found a
    problem. What it cannot check is marked with ?, which is no problem.
    """
    from tracker.doctor import examine

    problems = 0
    for found in examine(settings):
        advice = f". What to do: {found.advice}" if found.advice else ""
        show(f"{SIGNS[found.state]:8} {found.check:17} {plain(found.text)}{plain(advice)}")
        problems += found.state == "problem"
    show(f"{problems} problems" if problems != 1 else "1 problem")
    if problems:
        raise SystemExit(1)
