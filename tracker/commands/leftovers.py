"""Ends processes of an earlier start that was killed with its supervisor: they still run and occupy the ports."""

import os
from contextlib import suppress
from pathlib import Path

import psutil

PIDFILE = "supervisord.pid"


def find(folder: Path, socket: str) -> list[psutil.Process]:
    """This user's processes that a start in the data folder ``folder`` left. ``socket``: the path of its supervisor's.

    Leaves out parts that a person started beside it.
    """
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    session = _session(folder)
    return [
        each for each in psutil.process_iter() if each.pid not in spared and _is_part(each, folder, socket, session)
    ]


def end(processes: list[psutil.Process]) -> None:
    """Ends them: the supervisor first, because it would restart the others, and the store last."""
    supervisors = [each for each in processes if any("supervisord" in word for word in each.cmdline())]
    stores = [each for each in processes if each.name() == "valkey-server"]
    end_all(supervisors, 0)
    end_all([each for each in processes if each not in supervisors and each not in stores], 8)
    end_all(stores, 8)


def end_all(processes: list[psutil.Process], patience: float) -> None:
    """Asks processes to stop. Kills those that still run after ``patience`` seconds; 0 kills at once."""
    for process in processes if patience else ():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deaf = psutil.wait_procs(processes, timeout=patience)[1]
    for process in deaf:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(deaf, timeout=10)


def _session(folder: Path) -> int | None:
    """The session id of the last supervisor and its programs; None if it is not known."""
    try:
        return int((folder / PIDFILE).read_text())
    except (OSError, ValueError):
        return None


def _is_part(process: psutil.Process, folder: Path, socket: str, session: int | None) -> bool:
    try:
        if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        if environment := process.environ():
            return (environment.get("DATA_DIR"), environment.get("SUPERVISOR_SOCKET")) == (str(folder), socket)
        # The store's process title overwrites its environment. A store that a person started is in another session.
        return bool(process.cwd() == str(folder / "store") and os.getsid(process.pid) == session)
    except (psutil.Error, OSError):
        return False
