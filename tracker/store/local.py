"""Connects to the embedded store by its Unix socket. A small exchange costs both sides half of what TCP costs.

The store listens on the socket and on its port. Without the socket, the connection uses TCP.
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.connection import Connection


class LocalConnection(Connection):
    """Connects to the Unix socket at ``local`` if a server listens there, else by TCP."""

    def __init__(self, local: Path | None = None, **options: Any):
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py has no types here
        self.local = local

    def _connect(self) -> socket.socket:
        if self.local:
            with suppress(OSError):  # a path may also be too long for a socket
                return self._connect_to(self.local)
        opened: socket.socket = super()._connect()  # type: ignore[no-untyped-call]  # as above
        return opened

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
