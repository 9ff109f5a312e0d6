"""Replaces this process by a part of the tracker, so that signals reach the part itself."""

import logging
import os
import resource
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tracker import telemetry
from tracker.worker import alive

if TYPE_CHECKING:
    from tracker.settings import Settings

log = logging.getLogger(__name__)

#: The folder of the code: a checkout, or site-packages. Programs run here, so that they import no other ``api`` or
#: ``tracker`` from the folder in which the command was given.
ROOT = Path(__file__).parents[2]
#: Connections of an API worker, and the other files that it has open.
CONNECTIONS, OTHER_FILES = 8_192, 128


def make_password(settings: "Settings") -> None:
    """Makes the store's password if there is none: a part may start before the store, and both need the same one."""
    from tracker.store import embedded

    if not settings.redis_given:
        embedded.password(settings)


def check_store(settings: "Settings", broker: bool = True) -> None:
    """Logs what is a risk. Raises SettingsError if the store cannot be used; a store that is away is waited for.

    ``broker``: whether the part that starts uses the broker too.
    """
    from tracker.store import rights, suitable

    make_password(settings)
    rights.check(settings, broker)
    for warning in suitable.check_if_there(settings):
        log.warning("%s", warning)


def celery(settings: "Settings", *arguments: str) -> NoReturn:
    """Becomes a command of Celery with the tracker's tasks."""
    check_store(settings)
    flower = arguments[0] == "flower"
    quiet = [] if flower else ["--quiet"]  # no banner; Flower would say nothing at all
    level = [] if flower else ["--loglevel", settings.log_level]
    become(settings, arguments[0], "celery", *quiet, "-A", "tracker.tasks", *arguments, *level)


def connections() -> int:
    """How many connections an API worker may have open. Raises the limit of open files to allow them."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(most, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, min(CONNECTIONS, files - OTHER_FILES))


def absolute_paths(settings: "Settings") -> dict[str, str]:
    """The variables with a path, for programs that run in ROOT: the relative paths in them are made absolute."""
    paths = {
        "DATA_DIR": str(settings.data_dir),
        "RULES": settings.rules,
        "SIMULATOR_CANDLES": settings.simulator_candles,
    }
    names = [f"{field.metadata['name']}_FILE" for field in fields(settings)]
    paths |= {name: os.environ.get(name, "") for name in names}
    return {name: str(Path(path).resolve()) for name, path in paths.items() if path}


def become(settings: "Settings", kind: str, *command: str) -> NoReturn:
    """Replaces this process by ``python -m command``, which runs in ROOT, so that signals reach the command itself.

    ``kind``: how the command `health` names it.
    """
    from tracker import counts  # not above: a health check does without

    telemetry.check(settings)
    alive.begin(settings.data_dir, kind)
    try:
        counts.prepare(settings.data_dir, kind)
    except OSError as error:
        log.warning("/metrics cannot show what this process counts: %s", error)
    os.environ.update(absolute_paths(settings))
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *command])
