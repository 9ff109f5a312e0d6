"""Shows which parts run with a DATA_DIR, and since when a worker takes no messages or a beat sends no ticks.

Each part has a file in the folder ``alive`` in DATA_DIR. It locks the file as long as it lives, so that the file of a
killed part counts for nothing. Workers and beats touch theirs every few seconds while they do their work.
`python -m tracker health` reads the files.
"""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

#: Seconds between two touches.
EVERY = 2
#: What a part lacks that is not at work.
LACKS = {"worker": "takes no messages", "beat": "sends no ticks"}

_shown = time.monotonic()  # when this process last called ``show``, or began


class Part(NamedTuple):
    """A part that runs. ``idle``: seconds since it last showed that it is at work; since 1970 if it never did."""

    kind: str
    process: str
    idle: float


def folder(data_dir: Path) -> Path:
    return data_dir.resolve() / "alive"


def begin(data_dir: Path, kind: str) -> None:
    """Makes the file of this process. The lock stays when the process becomes another program.

    If the file cannot be made, says so: the part works without it.
    """
    path = _path(data_dir, kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob("[!.]*"):
            if not _lives(left):
                left.unlink(missing_ok=True)
        new = path.with_name(f".{path.name}")
        file = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(file, True)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.utime(new, (0, 0))
        new.rename(path)  # not before it is locked, or others would remove it
    except OSError as error:
        log.warning("python -m tracker health cannot see this process: %s", error)


def show(data_dir: Path, kind: str) -> None:
    """Called while this process does its work."""
    global _shown
    _shown = time.monotonic()
    with contextlib.suppress(OSError):  # ``begin`` has said it
        os.utime(_path(data_dir, kind))


def idle() -> float:
    """Seconds since this process last did its work, or since it began."""
    return time.monotonic() - _shown


def end(data_dir: Path, kind: str) -> None:
    """Called when this process begins to stop."""
    with contextlib.suppress(OSError):
        _path(data_dir, kind).unlink()


def parts(data_dir: Path) -> Iterator[Part]:
    """The parts that run with this ``data_dir``. Raises OSError."""
    for path in sorted(folder(data_dir).glob("[!.]*")):
        with contextlib.suppress(FileNotFoundError):  # it has just stopped
            if _lives(path):
                kind, _, process = path.name.partition("-")
                yield Part(kind, process, time.time() - path.stat().st_mtime)


def _path(data_dir: Path, kind: str) -> Path:
    """The host's name tells containers apart that share a folder."""
    return folder(data_dir) / f"{kind}-{socket.gethostname()}-{os.getpid()}"


def _lives(path: Path) -> bool:
    """Whether the process that made the file still runs. The lock of a process ends with it."""
    try:
        with path.open() as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def tell_systemd() -> None:
    """Resets the watchdog of a systemd unit, as sd_notify does: this process does not hang."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.send(b"WATCHDOG=1")
