"""Which addresses a channel may reach, and which parts of its URL are secret.

A channel reaches public addresses only, unless the rules file says ``allow_private = true``. The check is an audit
hook (PEP 578): Python calls it before each connect and send of each socket, in whichever library. So it also covers a
redirect, a mail server and a plugin's own socket. It sees the number and not the name: a name that leads elsewhere at
the second look-up gains nothing. Python cannot remove an audit hook; outside of ``guarded`` this one does nothing.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from tracker.errors import ChannelError

#: Shorter parts of a URL are no secrets.
SHORTEST_SECRET = 6
#: The audit events of a socket that name an address.
OUTGOING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
#: The only public IPv6 addresses (RFC 4291, 2.4; IANA's list of IPv6 address space). Outside are, among others,
#: ::a.b.c.d (IPv4-compatible), ::ffff:0:a.b.c.d (RFC 2765), 64:ff9b:1::/48 (RFC 8215), 100::/64
#: (RFC 6666), 5f00::/16 (RFC 9602), fc00::/7 (RFC 4193), fe80::/10, fec0::/10 (RFC 3879) and ff00::/8.
UNICAST = ip_network("2000::/3")
#: An IPv6 address with these bits carries an IPv4 address in its last 32 bits (RFC 6052).
NAT64 = ip_network("64:ff9b::/96")
#: Python calls these global, but a channel should not reach them.
NOT_PUBLIC = [
    ip_network("192.0.0.0/24"),  # IETF's protocols (RFC 6890); .9 and .10 are the nearest NAT or relay (RFC 7723, 8155)
    ip_network("192.88.99.0/24"),  # the nearest 6to4 relay (RFC 7526)
    ip_network("2001::/23"),  # IETF's protocols (RFC 2928), with Teredo (RFC 4380), which carries an IPv4 address
    ip_network("3fff::/20"),  # documentation (RFC 9637)
]


def public(found: str) -> bool:
    """Whether ``found`` is an IP address of the public internet. An IPv4 address inside an IPv6 one decides."""
    try:
        ip = ip_address(found)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id:
            return False
        if inner := ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None):
            return public(str(inner))
        if ip not in UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


@dataclass
class Guard:
    """``refused``: the last connection that was tried led to an address that is not public."""

    refused: bool = False

    def check(self, address: Any) -> None:
        """Raises PermissionError, an OSError: libraries treat it as a failed connection and try the next address.

        ``address``: as sockets take it. A name instead of a number is refused too, since it may lead anywhere. So is
        a path, which is a socket of this machine.
        """
        self.refused = not (isinstance(address, tuple) and public(str(address[0])))
        if self.refused:
            raise PermissionError("not a public address")


@contextmanager
def guarded(allow_private: bool) -> Iterator[None]:
    """In this context sockets reach public addresses only, unless ``allow_private``.

    If such a refusal made the send fail, its ChannelError is replaced by a permanent one that says so.
    """
    guard = None if allow_private else Guard()
    token = _guard.set(guard)
    try:
        yield
    except ChannelError:
        if guard and guard.refused:
            raise ChannelError(
                "it leads to an address that is not public: set allow_private = true if that is meant", permanent=True
            ) from None
        raise
    finally:
        _guard.reset(token)


def masked(said: str, url: str) -> str:
    """``said`` without the parts of a channel's URL that may be secrets."""
    parts = set(re.split(r"[:/@?&=,]+", url.partition("://")[2]))
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        if len(part) >= SHORTEST_SECRET:
            said = said.replace(part, "***")
    return said


_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in OUTGOING and (guard := _guard.get()) and arguments[1] is not None:  # None: it is connected already
        guard.check(arguments[1])


sys.addaudithook(_audit)
