"""The command ``health``: are the parts on this machine at work? For Docker, Kubernetes, and people.

It runs every few seconds, so it imports neither Celery nor numpy.
"""

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import click

from tracker.commands.terminal import Number, show
from tracker.errors import TrackerError
from tracker.worker import alive

if TYPE_CHECKING:
    from tracker.settings import Settings

#: Default of ``--within``.
WITHIN = 30
#: Seconds in which a server must answer.
PATIENCE = 5


@click.command()
@click.option(
    "--within",
    metavar="SECONDS",
    type=Number(1, 86_400, float),
    default=WITHIN,
    help=f"How long a worker may take no messages, or a beat send no ticks. Default: {WITHIN}.",
)
def health(within: float) -> None:
    """Check that what runs here is at work.

    It checks all parts that run with this DATA_DIR. A worker must take messages, a beat must send ticks, and a server
    must answer. Exit status 1 means that one of them does not, or that nothing runs.
    """
    from tracker.settings import load

    settings = load()
    folder = alive.folder(settings.data_dir)
    try:
        parts = list(alive.parts(settings.data_dir))
    except OSError as error:
        raise TrackerError(f"{folder} cannot be read: {error.strerror}") from error
    if not parts:
        raise TrackerError(f"nothing runs here: no file in {folder} is locked")
    faults = [found for part in parts if (found := _fault(settings, part, within))]
    if faults:
        raise TrackerError("; ".join(faults))
    show("\n".join(f"{part.kind} {part.process}: at work" for part in parts))


def _fault(settings: "Settings", part: alive.Part, within: float) -> str:
    """Why the ``part`` is not at work; empty if it is."""
    if part.kind not in alive.LACKS:
        return _unanswered(settings, part.kind)
    if part.idle <= within:
        return ""
    since = f"for {part.idle:.0f} s" if part.idle < 1e9 else "yet"
    return f"{part.kind} {part.process} {alive.LACKS[part.kind]} {since}: its broker is away, or the process hangs"


def _unanswered(settings: "Settings", kind: str) -> str:
    """How the server of the ``kind`` does not answer; empty if it does."""
    host, port, path = {
        "api": (settings.bind, settings.api_port, "/healthz"),
        "flower": (settings.flower_bind, settings.flower_port, f"{settings.flower_prefix}/healthcheck"),
        "simulator": (settings.bind, settings.simulator_port, "/"),
    }[kind]
    try:
        connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=PATIENCE)
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{kind} at port {port} does not answer: {error or type(error).__name__}"
    return f"{kind} at port {port} answers with status {status}: its log says more" if status >= 500 else ""
