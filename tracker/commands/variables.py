"""The command ``variables``: the environment variables that configure the tracker."""

from dataclasses import fields

import click

from tracker.commands.terminal import show

PAGE = """\
# Configuration

<!-- Made by `python -m tracker variables --markdown`. Change tracker/settings.py or tracker/commands/variables.py. -->

Environment variables configure the tracker. A bad value stops the start with one line that says what was expected.

- Any variable can come from a file: `REDIS_URL_FILE=/run/secrets/redis` reads `REDIS_URL` from that file.
- *Per source* means: one value holds for all sources, `source=value` for one source. Separate them by semicolons:
  `INTERVAL="60; kraken=30"`. [sources.md](sources.md) says more about sources.
- No log contains a secret, at any `LOG_LEVEL`. Only your user can read what `start` writes to `DATA_DIR`.
- Relative paths count from the folder in which you give the command.
  `./scripts/start` and the scripts beside it go to the project's folder first.

| variable | default | meaning |
|---|---|---|
"""


@click.command()
@click.option("--markdown", is_flag=True, help="Print the page docs/configuration.md.")
def variables(markdown: bool) -> None:
    """List the environment variables with their defaults."""
    show(
        page() if markdown else "\n".join(f"{name:28}{default or '(empty)':27}{text}" for name, default, text in rows())
    )


def page() -> str:
    """The page docs/configuration.md, without the line break at its end."""
    shown = [f"| `{name}` | {default and f'`{default}`'} | {text} |" for name, default, text in rows()]
    return PAGE + "\n".join(shown)


def rows() -> list[tuple[str, str, str]]:
    """(name, default, meaning) of each variable."""
    from tracker.settings import Settings

    found = [field.metadata for field in fields(Settings)]
    return [(each["name"], each["default"], each["meaning"]) for each in found]
