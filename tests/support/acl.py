"""The users of Redis that SECURITY.md tells operators to make, and what their clients ask of a server."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError

from tests.support.redis_servers import Server

SECRET = "s3cret-of-the-user"
PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()
#: The words after ACL SETUSER NAME: of a user for store and broker, for the store alone, and for the broker alone.
SHARED, OF_STORE, OF_BROKER = (
    line.replace(">PASSWORD", f">{SECRET}").split() for line in re.findall(r"^ACL SETUSER tracker (.*)$", PAGE, re.M)
)


def url(server: Server) -> str:
    """The URL with which the user connects."""
    return f"redis://tracker:{SECRET}@127.0.0.1:{server.port}/0"


def make(admin: Redis, rights: Sequence[str], name: str = "tracker") -> None:
    admin.execute_command("ACL SETUSER", name, *rights)


def granted(rights: Sequence[str]) -> list[str]:
    """Those of ``rights`` that give something."""
    return [word for word in rights if word[0] in "+~&"]


class Overheard:
    """Every command that the server runs meanwhile, also inside scripts. Commands that differ in numbers count once."""

    def __init__(self, admin: Redis):
        self._connection = admin.connection_pool.get_connection()
        self._known: dict[bytes, list[bytes]] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)

    @property
    def commands(self) -> list[list[bytes]]:
        return list(self._known.values())

    def _listen(self) -> None:
        while True:
            try:
                line = self._connection.read_response(disable_decoding=True, timeout=None)  # parts may be slow to start
            except (ConnectionError, ValueError, OSError):
                return  # it was closed
            words = [_bytes(word) for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', line)]
            self._known.setdefault(re.sub(rb"[0-9a-f-]{30,}|\d+", b"0", b" ".join(words[:3])), words)

    def __enter__(self) -> Self:
        self._connection.send_command("MONITOR")
        self._connection.read_response()
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()
        self._listener.join()


def _bytes(word: bytes) -> bytes:
    return word.decode("unicode_escape").encode("latin-1")


def refused(admin: Redis, commands: Sequence[Sequence[bytes]], name: str = "tracker") -> list[str]:
    """Those of ``commands`` that the user may not run, each with its first argument. Nothing is run."""
    pipe = admin.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command("ACL DRYRUN", name, *command)
    told = zip(commands, pipe.execute(), strict=True)
    return [" ".join(word.decode(errors="replace") for word in command[:2]) for command, said in told if said != b"OK"]
