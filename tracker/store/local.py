"""The short way to the embedded store: by a Unix socket. A small exchange costs both sides half of what it does by TCP.

It listens there besides its port, in its own folder. Where there is no such socket, TCP it is.
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.connection import Connection


class LocalConnection(Connection):
    """By the Unix socket at ``local`` if somebody listens there, else by TCP."""

    def __init__(self, local: Path | None = None, **options: Any):
        super().__init__(**options)
        self.local = local

    def _connect(self) -> socket.socket:
        if self.local:
            with suppress(OSError):  # a path that is too long for a socket is one, too
                return self._connect_to(self.local)
        return super()._connect()

    def _connect_to(self, path: Path) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.settimeout(self.socket_connect_timeout)
            opened.connect(str(path))
            opened.settimeout(self.socket_timeout)
        except OSError:
            opened.close()
            raise
        return opened
