"""The commands that run a part of the tracker, and ``mend``, which repairs the files of a store."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tracker import logs, ports
from tracker.commands.become import ROOT, become, celery, check_store, connections
from tracker.commands.terminal import Number, configured, configured_alone, show, simulator_flags
from tracker.errors import SettingsError, TrackerError

log = logging.getLogger(__name__)

QUEUES = ("fetch", "evaluate", "notify")


@click.command()
@simulator_flags
@configured_alone
def start(settings: Any) -> None:
    """Run everything on this machine, until Ctrl-C."""
    from tracker.commands.start import run

    run(settings)


@click.command()
@simulator_flags
@configured_alone
def simulate(settings: Any) -> None:
    """Run the simulated exchange. It speaks Cryptowatch's REST format."""
    from tracker.simulator.serve import SimulatorConfig, serve
    from tracker.worker import alive

    if settings.clock_speed != 1 and not settings.clock_start:
        settings = replace(settings, clock_start=time.time())
    logs.begin("simulator", settings)
    alive.begin(settings.data_dir, "simulator")
    serve(SimulatorConfig.of(settings))


@click.command()
@click.argument("folder", metavar="FOLDER")
@configured
def mend(settings: Any, folder: str) -> None:
    """Repair the files of your own Redis or Valkey.

    It removes the damaged parts of append-only files. Stop the server first.
    FOLDER is its data folder, which contains appendonlydir.
    """
    from tracker.store.keeper import mend

    show(mend(Path(folder)))


@click.command()
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option(
    "-c",
    "--concurrency",
    metavar="N",
    type=Number(1, 256),
    help="Number of processes. Default: FETCH_CONCURRENCY, or that of the queue.",
)
@click.option("-n", "--name", metavar="NAME", help="Name in Flower. Default: the queues and the process id.")
@configured
def worker(settings: Any, queues: tuple[str, ...], concurrency: int | None, name: str | None) -> None:
    """Run a worker.

    Start as many workers as you need, on any machine that reaches the store. A worker takes tasks from each QUEUE:
    fetch, evaluate or notify. Without a QUEUE it takes tasks from all of them.
    """
    from tracker.alerts.rulebook import Rulebook
    from tracker.sources.budget import check

    logs.begin("-".join(("worker", *queues)), settings)
    queues = queues or QUEUES
    if unknown := set(queues) - set(QUEUES):
        raise TrackerError(f"no queue {', '.join(sorted(unknown))}: expected some of {', '.join(QUEUES)}")
    Rulebook(settings.rules)  # a bad rules file stops the start, and so does a bad budget
    check(settings)
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # SIGTERM is a soft shutdown, see celeryconfig
    name = name or f"{'-'.join(queues)}-{os.getpid()}"
    processes = {"fetch": settings.fetch_concurrency, "evaluate": settings.evaluate_concurrency}
    default = next((processes[queue] for queue in processes if queue in queues), settings.notify_concurrency)
    celery(
        settings, "worker", "-Q", ",".join(queues), "-n", f"{name}@%h", "-P", settings.worker_pool,
        "-c", str(concurrency or default), "--without-gossip", "--without-mingle",
    )  # fmt: skip


@click.command()
@configured
def beat(settings: Any) -> None:
    """Run a beat, which sends the ticks. A second beat takes over without a gap."""
    from tracker.sources.budget import check

    logs.begin("beat", settings)
    check(settings)
    celery(settings, "beat", "--pidfile=")


@click.command()
@configured
def flower(settings: Any) -> None:
    """Run Flower, which shows workers and tasks."""
    logs.begin("flower", settings)
    if settings.flower_refused:
        raise SettingsError(settings.flower_refused)
    ports.require("FLOWER_PORT", settings.flower_bind, settings.flower_port)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    celery(settings, "flower", "--logging=none", f"--conf={Path(__file__).with_name('flowerconfig.py')}")


@click.command()
@configured
def api(settings: Any) -> None:
    """Run the API and the dashboard."""
    from tracker.store.api_keys import check_start

    logs.begin("api", settings)
    check_store(settings, broker=False)
    check_start(settings)
    ports.require("API_PORT", settings.bind, settings.api_port, shared=True)
    if ports.is_taken(settings.bind, settings.api_port):
        log.warning("API_PORT=%d: an API serves there already, the two share requests", settings.api_port)
    become(
        settings, "api", "granian", "--interface", "wsgi", "--factory", "--host", settings.bind,
        # More threads per worker cost more: they wait for each other at every exchange with the store.
        "--port", str(settings.api_port), "--workers", "2", "--blocking-threads", "2",
        # Bounds: open connections per worker, waiting connections, bytes of a request's head, and milliseconds in
        # which the head must arrive. HTTP/1 only: to find out the version, granian would wait for the first byte
        # without a limit. One read may exceed a buffer by the buffer's own size, so a head has at most 64 kB.
        "--backpressure", str(connections()), "--backlog", "1024",
        "--http", "1", "--http1-buffer-size", "32768", "--http1-header-read-timeout", "10000",
        "--respawn-failed-workers", "--workers-kill-timeout", "5", "--log-level", settings.log_level,
        "--log-config", str(ROOT / "tracker" / "granian.json"), "api:server_app",
    )  # fmt: skip
