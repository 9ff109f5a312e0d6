"""The command ``export``."""

from pathlib import Path
from typing import Any

import click

from tracker.commands.terminal import Number, configured


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--every", metavar="N", type=Number(0.1, 86_400, float), help="Repeat every N seconds, until Ctrl-C.")
@configured
def export(settings: Any, folder: str, every: float | None) -> None:
    """Write what the API answers to the folder DIR.

    It writes files for a CDN or object storage, and an SQLite database. DIR is made if it does not exist.
    """
    from api.export import run

    run(settings, Path(folder), every)
