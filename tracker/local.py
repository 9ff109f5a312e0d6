"""The short way to the embedded store: by a Unix socket. A small exchange costs both sides half of what it does by TCP.

It listens there besides its port, for processes of the same user on the same machine. They need not be told: where
there is no such socket, or nobody listens, TCP it is.
"""

import os
import socket
import tempfile
from contextlib import suppress

from redis.connection import Connection

HOSTS = ("127.0.0.1", "localhost")
#: Bytes of a socket's path, see unix(7); macOS allows 103.
LONGEST = 103


def socket_path(port: int) -> str:
    """Where the embedded store with this port listens."""
    return f"{tempfile.gettempdir()}/data-tracker-{os.getuid()}-{port}.sock"


class LocalConnection(Connection):
    """By the embedded store's socket if it can be had, else by TCP."""

    def _connect(self) -> socket.socket:
        path = socket_path(self.port)
        if self.host in HOSTS:
            with suppress(OSError):
                if os.lstat(path).st_uid == os.getuid():  # anybody may make files there
                    return self._connect_to(path)
        return super()._connect()

    def _connect_to(self, path: str) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.settimeout(self.socket_connect_timeout)
            opened.connect(path)
            opened.settimeout(self.socket_timeout)
        except OSError:
            opened.close()
            raise
        return opened
