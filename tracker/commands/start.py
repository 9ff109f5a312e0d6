"""Runs everything on one machine: checks the settings, runs supervisord.conf, shows the backfill, stops on Ctrl-C."""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import psutil

from tracker import ports as ports_of
from tracker.alerts.rulebook import Rulebook
from tracker.commands import leftovers
from tracker.commands.become import ROOT, absolute_paths
from tracker.commands.progress import show
from tracker.errors import SettingsError, StoreError, TrackerError
from tracker.redis_address import parse
from tracker.series.ring import WINDOW
from tracker.settings import Settings, load
from tracker.sources import budget
from tracker.store import api_keys, embedded, repairs, rights, suitable
from tracker.store.connection import connect, server_version
from tracker.store.keeper import die_with_parent
from tracker.worker import deadline

#: Seconds that the programs have to stop: more than the sum of their times in supervisord.conf.
STOP = 100
#: Seconds to stop while the store hangs, which delays every program.
STOP_WITHOUT_STORE = 6
#: Seconds after which the start says that the store does not answer.
SILENT_STORE = 10
#: What `python -m tracker store` says itself, in its log of text or JSON.
STORE_SAID = re.compile(r' (?:"message": ")?store: ([^"\n]*)')
FIRST_START = "first-start.json"
PR_SET_CHILD_SUBREAPER = 36


class Stopped(Exception):
    """A signal asked this process to stop."""


def run(settings: Settings) -> None:
    """Runs until a signal comes. Raises TrackerError before it starts anything that cannot run."""
    from tracker.worker.broker import broker  # not above: other commands need no Celery

    folder = _folder(settings)
    if settings.simulator_candles:
        _check_candles(settings, folder)  # first, because a refused replay must not make a folder
    lock = _writable(folder)
    if not settings.redis_given:
        settings = replace(settings, store_password=embedded.password(settings))
    _end_leftovers(folder)
    _check_ports(settings)
    Rulebook(settings.rules)
    budget.check(settings)
    broker(settings)
    rights.check(settings)
    if settings.redis_given:
        _check_store(settings)
    _check_access(settings, folder)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    _adopt_orphans()
    environment = _environment(settings, folder)
    settings = load(environment)  # the settings of the programs, with the clock of this replay
    supervisor = None
    try:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(Path(__file__).with_name("supervisord.conf"))],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops all in order
            preexec_fn=die_with_parent,
        )
        _wait_for_store(settings, folder, supervisor)
        show(settings, supervisor)
        if supervisor.poll() is None:
            print("\n".join([*_repaired(settings), _welcome(settings, folder)]), flush=True)
        supervisor.wait()
    except Stopped:
        pass
    finally:
        _stop_all(supervisor, settings)
        lock.close()
    if supervisor and supervisor.returncode:
        raise TrackerError(f"the supervisor ended with status {supervisor.returncode}: see {folder}/log")


def _folder(settings: Settings) -> Path:
    """The data folder. Each replay, seed and speed has its own folder, because each has a different past."""
    candles = settings.simulator_candles and str(Path(settings.simulator_candles).resolve())
    start = settings.simulator_start, settings.clock_start
    replay = (candles, settings.simulator_at, settings.clock_speed, settings.simulator_seed, *start)
    if replay == ("", None, 1, 1, None, 0):
        return settings.data_dir.resolve()
    return settings.data_dir.resolve() / f"replay-{hashlib.sha256(repr(replay).encode()).hexdigest()[:8]}"


def _writable(folder: Path) -> TextIO:
    """Makes the folder. Returns the open file whose lock refuses a second start."""
    for path in (folder, ROOT):
        if "%" in str(path):
            raise SettingsError(f"'{path}': expected a path without %, which supervisord.conf gives a meaning")
    try:
        os.umask(0o077)  # only this user can read what this process and the programs make
        (folder / "log").mkdir(parents=True, exist_ok=True)
        (folder / "log").chmod(0o700)  # also the folder of an earlier start
        lock = (folder / "start.lock").open("w")
    except OSError as error:
        raise SettingsError(f"DATA_DIR='{folder}': expected a writable folder ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TrackerError(f"already running on the data in {folder}: stop that, or set another DATA_DIR") from None
    return lock


def _end_leftovers(folder: Path) -> None:
    if left := leftovers.find(folder, _socket_path(folder)):
        print(f"ending {len(left)} processes of an earlier start in {folder} that was killed", flush=True)
        leftovers.end(left)


def _check_ports(settings: Settings) -> None:
    ports = {"API_PORT": settings.api_port}
    if not settings.flower_refused:
        ports["FLOWER_PORT"] = settings.flower_port
    if _runs_simulator(settings):
        ports["SIMULATOR_PORT"] = settings.simulator_port
    if not settings.redis_given:
        ports["STORE_PORT"] = settings.store_port
    for name, port in ports.items():
        if clash := [other for other in ports if other != name and ports[other] == port]:
            raise SettingsError(f"{name}={port}: expected a port of its own, {clash[0]} is the same")
        hosts = {"STORE_PORT": "127.0.0.1", "FLOWER_PORT": settings.flower_bind}
        ports_of.require(name, hosts.get(name, settings.bind), port)


def _check_store(settings: Settings) -> None:
    try:
        warnings = suitable.check(settings)
    except StoreError as error:
        shown = parse(settings.redis_url).shown
        raise SettingsError(f"REDIS_URL={shown}: expected a server that answers: {error}") from error
    for warning in warnings:
        print(f"Warning   {warning}", flush=True)


def _check_access(settings: Settings, folder: Path) -> None:
    """Refuses an API that others can reach without a key. Runs the embedded store to look for keys."""
    if not api_keys.needs_one(settings):
        return
    store = None
    if not settings.redis_given:
        with (folder / "log" / "store.log").open("a") as log:
            store = subprocess.Popen(
                [sys.executable, "-m", "tracker", "store"], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | {"DATA_DIR": str(folder), "CLOCK_SPEED": "1"}, preexec_fn=die_with_parent,
            )  # fmt: skip
    try:
        if store:
            _wait_for_store(settings, folder, store)
        api_keys.check_start(settings)
    finally:
        if store:
            store.terminate()
            store.wait()


def _check_candles(settings: Settings, folder: Path) -> None:
    """Raises SettingsError for bad candle files, TrackerError if this folder's replay ended more than a day ago."""
    from tracker.simulator.feeds import Replay

    start = settings.simulator_start or _first_start(folder)
    try:
        feed = Replay(Path(settings.simulator_candles), start, settings.simulator_at)
    except (ValueError, OSError) as error:
        at = "" if settings.simulator_at is None else f" SIMULATOR_AT={settings.simulator_at}"
        raise SettingsError(f"SIMULATOR_CANDLES='{settings.simulator_candles}'{at}: {error}") from error
    if feed.end + WINDOW < replace(settings.clock, start=start).now():
        raise TrackerError(f"the replay in {folder} has ended: delete that folder to begin anew")


def _runs_simulator(settings: Settings) -> bool:
    return "simulator" in settings.sources and not settings.simulator_given


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    began = _first_start(folder)
    (folder / FIRST_START).write_text(json.dumps(began))
    start = str(int(began))  # rounded down, or a replay of that minute would begin with the next one
    clock = {"CLOCK_START": start} if settings.clock_speed != 1 and not settings.clock_start else {}
    shift = {"SIMULATOR_START": start} if settings.simulator_candles and settings.simulator_start is None else {}
    # Passes the password's file: the folder of a replay is another one.
    password = {} if os.environ.get("STORE_PASSWORD") else {"STORE_PASSWORD_FILE": str(settings.password_file)}
    return os.environ | absolute_paths(settings) | clock | shift | ({} if settings.redis_given else password) | {
        "PYTHON": sys.executable,
        "CLOCK_SPEED": f"{settings.clock_speed:g}",
        "DATA_DIR": str(folder),
        "SUPERVISOR_SOCKET": _socket_path(folder),
        "START_STORE": str(not settings.redis_given).lower(),
        "START_FLOWER": str(not settings.flower_refused).lower(),
        "START_SIMULATOR": str(_runs_simulator(settings)).lower(),
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def _first_start(folder: Path) -> float:
    """The time of the first start in this data folder, or now: a replay continues from its first start."""
    try:
        return float(json.loads((folder / FIRST_START).read_text()))
    except FileNotFoundError:
        return time.time()


def _socket_path(folder: Path) -> str:
    """The supervisor's socket: in the data folder, or in the temporary folder if that path is too long."""
    path = str(folder / "supervisor.sock")
    if len(path) < 90:
        return path
    return f"{tempfile.gettempdir()}/data-tracker-{hashlib.sha256(path.encode()).hexdigest()[:16]}.sock"


def _wait_for_store(settings: Settings, folder: Path, starter: subprocess.Popen[bytes]) -> None:
    """Waits until the store answers or its ``starter`` ends. If that takes long, prints each reason once."""
    redis, began, told = connect(settings.redis_url, tries=1), time.monotonic(), set()
    log = folder / "log" / "store.log"
    read_from = log.stat().st_size if log.exists() else 0
    while starter.poll() is None:
        try:
            server_version(redis)
            return
        except StoreError as error:
            why = _last_of_store(log, read_from) or str(error)
        if time.monotonic() - began > SILENT_STORE and why not in told:
            told.add(why)
            print(f"the store does not answer: {why} (more in {log})", flush=True)
        time.sleep(0.2)


def _last_of_store(log: Path, read_from: int) -> str:
    """The last line that ``python -m tracker store`` wrote, not its server."""
    try:
        with log.open(errors="replace") as file:
            file.seek(read_from)
            said = [found[1] for line in file if (found := STORE_SAID.search(line))]
    except OSError:
        return ""
    return said[-1] if said else ""


def _repaired(settings: Settings) -> list[str]:
    """A line about the last repair of the store, if it was less than a week ago."""
    try:
        repaired = repairs.latest(connect(settings.redis_url, tries=1))
    except StoreError:
        return []
    return [f"Repaired  {repaired}"] if repaired else []


def _welcome(settings: Settings, folder: Path) -> str:
    flower = settings.local_url(settings.flower_port, settings.flower_bind)
    if settings.flower_refused:
        flower = f"does not run: {settings.flower_refused}"
    lines = [
        f"Dashboard {settings.local_url(settings.api_port)}/",
        f"API       {settings.local_url(settings.api_port)}/v1/metrics",
        f"Flower    {flower}",
    ]
    if _runs_simulator(settings):
        lines.append(f"Exchange  {settings.local_url(settings.simulator_port)} (simulated)")
    lines.append(f"Logs      {folder}/log")
    supervisorctl = str(Path(sys.executable).with_name("supervisorctl"))
    lines.append(f"Processes {shlex.quote(supervisorctl)} -s {shlex.quote(f'unix://{_socket_path(folder)}')} status")
    if settings.clock_speed != 1:
        clock = f"CLOCK_START={settings.clock_start:.15g} CLOCK_SPEED={settings.clock_speed:g}"
        lines.append(f"Time      {clock}: parts that you start beside this need both")
    return "\n".join([*lines, "Ctrl-C stops everything."])


def _stop(number: int, frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # already stopping
    raise Stopped


def _stop_all(supervisor: subprocess.Popen[bytes] | None, settings: Settings) -> None:
    """Asks the supervisor to stop all in order. Then ends what is left, for example by a killed supervisor."""
    print("\nstopping ...", flush=True)
    patience = 10
    if supervisor and supervisor.poll() is None:
        supervisor.terminate()
        if not _stops(supervisor, settings):
            patience = 0  # the supervisor has already asked them
    leftovers.end_all(psutil.Process().children(recursive=True), patience)
    print("stopped", flush=True)


def _stops(supervisor: subprocess.Popen[bytes], settings: Settings) -> bool:
    """Waits until the supervisor ends. False after STOP seconds, or STOP_WITHOUT_STORE while the store hangs."""
    began = heard = time.monotonic()
    while time.monotonic() - began < STOP and time.monotonic() - heard < STOP_WITHOUT_STORE:
        if not deadline.hangs(settings):
            heard = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            supervisor.wait(0.2)
            return True
    return False


def _adopt_orphans() -> None:
    """The children of a killed supervisor become children of this process, which ends them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
