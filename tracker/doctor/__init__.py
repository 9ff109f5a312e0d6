"""Finds the usual faults and says what to do. A check is a function that yields findings; each module has some."""

from collections.abc import Iterator

from tracker.doctor import machine, running, server, work
from tracker.doctor.findings import Finding, problem
from tracker.doctor.overview import Overview, look
from tracker.errors import SettingsError, StoreError
from tracker.settings import Settings


def of_tracker(overview: Overview) -> Iterator[Finding]:
    """What any machine that reaches the store can find."""
    for each in (server, running, work):
        yield from each.check(overview)


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, the store's first. A store that does not answer is one of them."""
    try:
        yield from of_tracker(look(settings))
    except SettingsError as error:
        yield problem("store", "it cannot be used", str(error))
    except StoreError as error:
        there = "REDIS_URL" if settings.redis_given else "DATA_DIR and STORE_PORT; ./scripts/start-db.sh starts it"
        yield problem("store", str(error), f"start it, restart it if it hangs, or check {there}")
    yield from machine.check(settings)
