"""The command line: ``python -m tracker COMMAND``, or ``data-tracker COMMAND`` once the package is installed."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from tracker.commands import (
    alerts,
    config,
    doctor,
    export,
    health,
    keys,
    parts,
    refused,
    sources,
    status,
    store,
    variables,
)
from tracker.errors import StoreError, TrackerError
from tracker.plain import log_plainly, plain


class Root(click.Group):
    """Ends with one line and status 1 on a TrackerError, and with status 130 on Ctrl-C. Bad usage is status 2."""

    def invoke(self, context: click.Context) -> Any:
        log_plainly()
        try:
            return super().invoke(context)
        except TrackerError as error:
            sys.exit(plain(f"{context.invoked_subcommand}: {error}{_hint(error)}"))
        except KeyboardInterrupt:
            sys.exit(130)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order below, not by name


def _hint(error: TrackerError) -> str:
    """What to do if the embedded store is away."""
    from tracker.settings import load

    if isinstance(error, StoreError) and not load().redis_given:
        return " (./scripts/start runs everything, ./scripts/start-db.sh a store)"
    return ""


root = Root(
    "data-tracker",
    help="Track crypto market metrics of the last 24 hours.",
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=[
        parts.start,
        parts.simulate,
        store.store,
        parts.mend,
        parts.worker,
        parts.beat,
        parts.api,
        export.export,
        keys.keys,
        parts.flower,
        health.health,
        status.status,
        doctor.doctor,
        sources.sources,
        alerts.rules,
        alerts.channels,
        alerts.alerts,
        alerts.deliveries,
        refused.refused,
        variables.variables,
        config.config,
    ],
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process. ``arguments``: without the program's name, from the shell if None."""
    root.main(arguments)
