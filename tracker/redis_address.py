"""Reads the URL of Redis or Valkey: of one server, of servers behind sentinels, or of a cluster.

``redis://[user:password@]host:port/database``, ``unix://[user:password@]/path?db=database``,
``redis+sentinel://[user:password@]host:port,host:port/database?master=name`` (hosts of sentinels), and
``redis+cluster://[user:password@]host:port,host:port`` (some nodes). ``rediss`` in place of ``redis`` encrypts; then
options of TLS may follow: ``?ssl_ca_certs=/path``.
"""

from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SERVER, SOCKET, SENTINEL, CLUSTER = "redis", "unix", "redis+sentinel", "redis+cluster"
#: Scheme -> (kind, whether it encrypts).
SCHEMES = {
    "redis": (SERVER, False),
    "rediss": (SERVER, True),
    "unix": (SOCKET, False),
    "redis+sentinel": (SENTINEL, False),
    "rediss+sentinel": (SENTINEL, True),
    "redis+cluster": (CLUSTER, False),
    "rediss+cluster": (CLUSTER, True),
}
PORT, SENTINEL_PORT = 6379, 26379
#: What the URL of sentinels may add: the name of the master, and how to log in to the sentinels themselves.
OF_SENTINEL = ("master", "sentinel_username", "sentinel_password")


@dataclass(frozen=True)
class Address:
    """Where a Redis is. ``kind``: SERVER, SOCKET, SENTINEL or CLUSTER; ``hosts``: none for a SOCKET, else one or more.

    ``master``: the name that the sentinels know it by. ``tls``: options of TLS by name, as redis-py calls them.
    """

    kind: str
    encrypted: bool
    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    master: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        """The URL without users, passwords and options of TLS."""
        return replace(self, username="", password="", sentinel_username="", sentinel_password="", tls=()).url

    @property
    def url(self) -> str:
        options = dict(self.tls)
        options |= {name: value for name in OF_SENTINEL if (value := getattr(self, name))}
        if self.kind == SOCKET and self.database:
            options["db"] = str(self.database)
        place = (
            self.path if self.kind == SOCKET else ",".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        )
        database = f"/{self.database}" if self.kind in (SERVER, SENTINEL) else ""
        query = f"?{urlencode(options)}" if options else ""
        return f"{self._scheme}://{self.login}{place}{database}{query}"

    @property
    def login(self) -> str:
        """``user:password@`` as a URL has it; empty without both."""
        if not self.username and not self.password:
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"

    @property
    def _scheme(self) -> str:
        return next(scheme for scheme, told in SCHEMES.items() if told == (self.kind, self.encrypted))


def parse(text: str) -> Address:
    """Raises ValueError, which says what was expected and shows nothing of the URL."""
    try:
        parts = urlsplit(text)
        login, _, hosts = parts.netloc.rpartition("@")
    except ValueError:  # its text shows parts of the URL
        raise ValueError("a URL whose hosts are written host:port") from None
    if parts.scheme not in SCHEMES or not text.isprintable():
        raise ValueError(f"a URL that begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    kind, encrypted = SCHEMES[parts.scheme]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: options.pop(name) for name in OF_SENTINEL if kind == SENTINEL and name in options}
    database = options.pop("db", "") if kind == SOCKET else parts.path.strip("/")
    if not all(name.startswith("ssl_") for name in options) or (options and not encrypted):
        raise ValueError(
            "a URL with no options but those of TLS, ssl_..., after a scheme that begins with rediss; its database "
            "goes into the path: redis://host:6379/0"
        )
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("a URL whose database is a number, e.g. redis://host:6379/0")
    if kind == CLUSTER and int(database or 0):
        raise ValueError("a URL of a cluster without a database: a cluster has only database 0")
    if kind == SENTINEL and not own.get("master"):
        raise ValueError("a URL of sentinels that names the master: redis+sentinel://host:26379/0?master=NAME")
    username, _, password = login.partition(":")
    found = tuple(_host(each, SENTINEL_PORT if kind == SENTINEL else PORT) for each in hosts.split(",") if each)
    if kind == SOCKET and (found or not parts.path.strip("/")):
        raise ValueError("a URL of a socket with its whole path: unix:///run/redis/redis.sock")
    if kind != SOCKET and not found:
        raise ValueError(f"a URL that names a host: {parts.scheme}://host:6379")
    if kind == SERVER and len(found) > 1:
        raise ValueError("a URL of one host, or of several that begins with redis+sentinel:// or redis+cluster://")
    return Address(
        kind, encrypted, found, parts.path if kind == SOCKET else "", unquote(username), unquote(password),
        int(database or 0), **own, tls=tuple(options.items()),
    )  # fmt: skip


def _host(text: str, default: int) -> tuple[str, int]:
    try:
        part = urlsplit(f"//{text}")
        host, port = part.hostname, part.port
    except ValueError:
        host = port = None
    if not host or port == 0:
        raise ValueError("a URL whose hosts are written host:port")
    return host, port or default


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
