"""Checks of this machine: its disk, its ports, its rules file, and whether it reaches the broker."""

import shutil
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from tracker import ports
from tracker.alerts.rulebook import Rulebook
from tracker.doctor.findings import Finding, ok, problem, unknown
from tracker.errors import SettingsError
from tracker.settings import Settings

#: MB that must be free, and seconds that a server has to answer.
LEAST, PATIENCE = 200, 3
MB = 1e6


def check(settings: Settings) -> Iterator[Finding]:
    yield from _broker(settings)
    yield from files(settings)
    yield from _port("API_PORT", settings.bind, settings.api_port, "/livez", b'{"status":"ok"}')
    flower = f"{settings.flower_prefix}/healthcheck"
    yield from _port("FLOWER_PORT", settings.flower_bind, settings.flower_port, flower, b"OK")
    if settings.metrics_port:
        yield from _port("METRICS_PORT", settings.metrics_bind, settings.metrics_port, "/metrics", b"# HELP tracker_")


def files(settings: Settings) -> Iterator[Finding]:
    """Whether this machine has room for data, and rules that can be read."""
    yield from _disk(settings)
    yield from _rules(settings)


def _broker(settings: Settings) -> Iterator[Finding]:
    from tracker.worker.broker import unreachable  # not above: only this needs Celery's libraries

    if not settings.broker_given:
        yield ok("broker", "it is the store")
    elif fault := unreachable(settings, PATIENCE):
        yield problem("broker", f"it does not answer: {fault}", "start it, or check BROKER_URL and the network to it")
    else:
        yield ok("broker", "it answers")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.resolve()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        free = shutil.disk_usage(there).free / MB
    except OSError as error:
        yield unknown("disk", f"{there}: {error.strerror}")
        return
    if free < LEAST:
        yield problem("disk", f"{free:.0f} MB are free at DATA_DIR={folder}", f"make room: at least {LEAST} MB")
    else:
        yield ok("disk", f"{free:,.0f} MB are free at DATA_DIR={folder}")


def _port(name: str, host: str, port: int, path: str, expected: bytes) -> Iterator[Finding]:
    """Whether the port is free, or has our server, whose answer at ``path`` begins with ``expected``."""
    if _answer("127.0.0.1" if host == "0.0.0.0" else host, port, path).startswith(expected):
        yield ok(name, f"{port}: our server answers")
        return
    try:
        ports.require(name, host, port)
    except SettingsError as error:
        yield problem(name, f"{port}: another program listens there", str(error))
    else:
        yield ok(name, f"{port}: it is free, nothing of ours runs there")


def _answer(host: str, port: int, path: str) -> bytes:
    connection = HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read(100)
    except (OSError, HTTPException):
        return b""
    finally:
        connection.close()


def _rules(settings: Settings) -> Iterator[Finding]:
    try:
        rules = Rulebook(settings.rules).current().rules
    except SettingsError as error:
        yield problem("rules", str(error), "correct the file: docs/alerts.md")
    else:
        yield ok("rules", f"{len(rules)} in {settings.rules or 'the built-in set'}")
