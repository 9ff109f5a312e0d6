"""Checks that a port is free before a server starts: the server itself would say so with a traceback."""

import errno
import socket

from tracker.errors import SettingsError


def probe(host: str, port: int, shared: bool = False) -> None:
    """Raises OSError if ``port`` of ``host`` cannot be listened on. ``shared``: see ``require``."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))


def is_taken(host: str, port: int) -> bool:
    """Whether a server listens there, also one that shares its port. Check the address with ``require`` first."""
    try:
        probe(host, port)
    except OSError:
        return True
    return False


def require(name: str, host: str, port: int, shared: bool = False) -> None:
    """Raises SettingsError with the variable ``name`` if ``port`` of ``host`` cannot be listened on.

    ``shared``: the new server shares its port, so another server that shares it is no obstacle. Workers of a killed
    server may still serve.
    """
    try:
        probe(host, port, shared)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            expected = f"BIND_ADDRESS='{host}': expected an address of this machine"
        else:
            expected = (
                f"{name}={port}: expected a port that can be listened on ({error.strerror}): "
                f"stop what uses it, or choose another, e.g. {name}={port + 1}"
            )
        raise SettingsError(expected) from None
