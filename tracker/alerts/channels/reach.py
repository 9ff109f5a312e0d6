"""Where a channel may send to, and what may be told of its URL.

A channel reaches public addresses only, unless the rules file says ``allow_private = true``. The check is an audit
hook (PEP 578): Python calls it before each connect and send of each socket, whichever library makes it. So a redirect,
a mail server and a plugin's own socket are checked too. It sees the number that is connected to, not the name: a name
that leads elsewhere when it is looked up again gains nothing.
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

#: Parts of a URL that are shorter are no secret.
SHORTEST_SECRET = 6
#: The audit events of a socket that names where it sends to.
OUTGOING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
#: The only IPv6 addresses that are handed out to the public (RFC 4291, 2.4; IANA's list of IPv6 address space). Outside
#: are, among others, ::a.b.c.d (IPv4-compatible), ::ffff:0:a.b.c.d (RFC 2765), 64:ff9b:1::/48 (RFC 8215), 100::/64
#: (RFC 6666), 5f00::/16 (RFC 9602), fc00::/7 (RFC 4193), fe80::/10, fec0::/10 (RFC 3879) and ff00::/8.
UNICAST = ip_network("2000::/3")
#: An IPv6 address with these bits carries an IPv4 address in its last 32 bits (RFC 6052).
NAT64 = ip_network("64:ff9b::/96")
#: What Python takes for global, and is not what a channel should reach.
NOT_PUBLIC = [
    ip_network("192.0.0.0/24"),  # IETF's protocols (RFC 6890); .9 and .10 are the nearest NAT or relay (RFC 7723, 8155)
    ip_network("192.88.99.0/24"),  # the nearest 6to4 relay (RFC 7526)
    ip_network("2001::/23"),  # IETF's protocols (RFC 2928), with Teredo (RFC 4380), which carries an IPv4 address
    ip_network("3fff::/20"),  # documentation (RFC 9637)
]


def public(found: str) -> bool:
    """Whether ``found`` is an IP address of the public internet. One that carries an IPv4 address is judged by that."""
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
    """``refused``: whether the last connection that was tried led to an address that is not public."""

    refused: bool = False

    def check(self, address: Any) -> None:
        """Raises PermissionError, an OSError: a library takes it for a failed connection, and tries the next address.

        ``address``: as sockets take it. A name in the place of the number is refused too, since nobody would know
        where it leads; so are sockets of this machine, which have a path.
        """
        self.refused = not (isinstance(address, tuple) and public(str(address[0])))
        if self.refused:
            raise PermissionError("not a public address")


@contextmanager
def guarded(allow_private: bool) -> Iterator[None]:
    """In this context no socket reaches an address that is not public, unless ``allow_private``.

    Raises ChannelError, permanent, instead of one that was raised because of such an address.
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
    """``said`` without any part of a channel's URL that may be a secret."""
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
