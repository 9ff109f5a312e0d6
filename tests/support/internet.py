"""A played internet: the addresses of names, and the servers at public addresses."""

import socket
import sys
from contextvars import Context
from urllib.parse import urlsplit

import pytest

PUBLIC = "93.184.215.14"


class Internet:
    """``connected``: the public (address, port) pairs to which a connection was tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.connected: list[tuple[str, int]] = []
        self._answers: dict[str, list[list[str]]] = {}
        self._local: dict[str, tuple[str, int]] = {}
        self._look_up, self._connect = socket.getaddrinfo, socket.socket.connect
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(socket.socket, "connect", lambda *arguments: self._connected(*arguments))

    def resolves(self, name: str, *answers: str | list[str]) -> None:
        """Each look-up of ``name`` gets the next of ``answers``: one address or several."""
        self._answers[name] = [[each] if isinstance(each, str) else each for each in answers]

    def leads(self, address: str, url: str) -> None:
        """Connections to the public ``address`` reach the server at ``url``. Other public addresses refuse."""
        self._local[address] = ("127.0.0.1", urlsplit(url).port or 80)

    def _getaddrinfo(self, host, port, *arguments, **options):
        if host not in self._answers:
            return self._look_up(host, port, *arguments, **options)
        found = self._answers[host].pop(0)
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, int(port)))
            for ip in found
        ]

    def _connected(self, sock: socket.socket, address) -> None:
        if address[0].startswith(("127.", "::1", "10.", "fd")):
            return self._connect(sock, address)
        sys.audit("socket.connect", sock, address)  # the real connect raises this event, and does not happen here
        self.connected.append(address[:2])
        if address[0] not in self._local:
            raise ConnectionRefusedError
        # The guard has judged the public address. The local server is reached in a context without the guard.
        return Context().run(self._connect, sock, self._local[address[0]])
