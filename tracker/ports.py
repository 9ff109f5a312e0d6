"""Whether a port can be listened on, told before a server is started that would say it with a stack."""

import errno
import socket

from tracker.errors import SettingsError


def probe(host: str, port: int, shared: bool = False) -> None:
    """Raises OSError where ``port`` of ``host`` cannot be listened on; ``shared`` as in ``require``."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))


def is_taken(host: str, port: int) -> bool:
    """Whether a server listens there, be it one that shares its port; of an address that ``require`` found good."""
    try:
        probe(host, port)
    except OSError:
        return True
    return False


def require(name: str, host: str, port: int, shared: bool = False) -> None:
    """Raises SettingsError, naming the variable ``name``, where ``port`` of ``host`` cannot be listened on.

    ``shared``: a server that shares its port is to be started, so others that do are no obstacle: workers of one that
    was killed may still serve.
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
