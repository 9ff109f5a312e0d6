"""The commands ``store``: runs the embedded store, moves a store's data to another one, or upgrades it."""

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tracker import logs, ports
from tracker.commands.terminal import configured, show
from tracker.errors import TrackerError

if TYPE_CHECKING:
    from tracker.redis_address import Address
    from tracker.store.copy import Side

#: Comparisons after which a key that still changes must have a writer. The first one also copies the last changes.
COMPARISONS = 3


@click.group(invoke_without_command=True)
@click.pass_context
def store(context: click.Context) -> None:
    """Run the embedded store, or copy or upgrade a store.

    The embedded store is a valkey-server that keeps its data in DATA_DIR.
    """
    if context.invoked_subcommand is None:
        run()


@configured
def run(settings: Any) -> None:
    from tracker.store.keeper import run

    logs.begin("store", settings)
    ports.require("STORE_PORT", "127.0.0.1", settings.store_port)
    sys.exit(run(settings))


@store.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="First delete the data that the tracker has in TO.")
@configured
def copy(settings: Any, source: str, target: str, replace: bool) -> None:
    """Copy the tracker's data from one store to another.

    It compares them at the end. FROM and TO are URLs like that in REDIS_URL,
    or names of variables that hold one. Other users can read a command line,
    but not your variables.

    The tracker may run meanwhile. The command asks when to stop beat and
    workers, copies what has changed, and says when TO is equal. FROM stays as
    it is. If the command is stopped, give it again.
    """
    from tracker.store.connection import connect
    from tracker.store.copy import Side, finish, prepare
    from tracker.store.suitable import judge

    old, new = _address(settings, "FROM", source), _address(settings, "TO", target)
    origin, goal = Side("FROM", connect(old.url)), Side("TO", connect(new.url))
    for side, address in ((origin, old), (goal, new)):
        for warning in judge(side.redis, side.name, address):
            show(warning)
    prepare(origin, goal, replace)
    show(f"{old.shown} -> {new.shown}")
    _equalize(origin, goal, "Copying")
    click.prompt("Stop every beat and worker, then press Enter", "", prompt_suffix=": ", show_default=False)
    for _ in range(COMPARISONS):
        if not (changed := _equalize(origin, goal, "Comparing")):
            finish(goal)
            show(f"TO is equal to FROM. Start every part of the tracker with REDIS_URL={new.shown} and its password.")
            return
    raise TrackerError(
        f"something still writes to FROM, e.g. {changed[0].decode()}: stop it and give this command again"
    )


@store.command()
@configured
def upgrade(settings: Any) -> None:
    """Bring the data of an older version of the tracker to this one.

    Stop every part of the tracker first. The embedded store does this itself.
    """
    from tracker.store import model
    from tracker.store.connection import connect

    with connect(settings.redis_url, tries=1, patience=10) as redis:
        renamed = model.upgrade(redis)
    show(f"the data is of version {model.VERSION}: {renamed:,} keys have new names")


def _equalize(origin: "Side", goal: "Side", label: str) -> list[bytes]:
    """Copies what differs, and shows how far it is. Returns the names of the keys that differed."""
    from tracker.store.copy import equalize

    began = time.monotonic()
    keys = origin.keys()
    size = sum(key.size for key in keys.values())
    with click.progressbar(length=size, label=label) as bar:
        changed = equalize(origin, goal, keys, bar.update)
    seconds = time.monotonic() - began
    result = f"{len(changed):,} differed and were copied" if changed else "all are equal"
    show(f"{len(keys):,} keys, {size / 1e6:,.1f} MB, {seconds:.1f} s: {result}")
    return changed


def _address(settings: Any, side: str, told: str) -> "Address":
    """Where the store is that was ``told``, by a URL or by the name of a variable."""
    from tracker.environment import text
    from tracker.redis_address import parse

    if told == "REDIS_URL":
        return parse(settings.redis_url)
    try:
        return parse(told if "://" in told else text(os.environ, told))
    except ValueError as expected:
        raise TrackerError(f"{side}: expected {expected}, or the name of a variable with it") from None
