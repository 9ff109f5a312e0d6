"""What a command becomes: a part of the tracker in the place of this process, so that signals reach the part itself."""

import os
import resource
import sys
from typing import NoReturn

from tracker.settings import Settings

#: Connections of an API worker, and the files that it has open besides.
CONNECTIONS, OTHER_FILES = 8_192, 128


def make_password(settings: Settings) -> None:
    """A part may be started before the store: both must find the same password."""
    from tracker.store import embedded

    if not settings.redis_given:
        embedded.password(settings)


def celery(settings: Settings, *arguments: str) -> NoReturn:
    make_password(settings)
    become(sys.executable, "-m", "celery", "-A", "tracker.tasks", *arguments, *(
        [] if arguments[0] == "flower" else ["--loglevel", settings.log_level]))  # fmt: skip


def connections() -> int:
    """How many connections an API worker may have open. Raises the limit of open files as far as that takes."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(most, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, min(CONNECTIONS, files - OTHER_FILES))


def become(*command: str) -> NoReturn:
    """Replaces this process, so that signals reach the command itself."""
    sys.stdout.flush()
    os.execv(command[0], command)
