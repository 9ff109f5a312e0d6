"""Parses the values of environment variables. Each parser raises Unusable, which says what was expected."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from tracker import redis_address

Parser = Callable[[str], Any]
#: What is expected instead of an unusable value of SOURCES.
SOURCES_EXPECTED = (
    "a comma-separated list, each once, out of simulator, cryptowatch, and exchanges as ccxt calls them, e.g. "
    "kraken, binance, coinbaseexchange, bitstamp, okx"
)
#: Most characters of a value that a message shows.
SHOWN = 200
#: Who can log people in to Flower, and Flower's class for it.
LOGIN_PROVIDERS = {
    "google": "flower.views.auth.GoogleAuth2LoginHandler",
    "github": "flower.views.auth.GithubLoginHandler",
    "gitlab": "flower.views.auth.GitLabLoginHandler",
    "okta": "flower.views.auth.OktaLoginHandler",
}
CURRENCY = re.compile(r"[a-z0-9._-]{1,64}")


class Unusable(ValueError):
    """Says what was expected instead of the value."""


#: How a number is written: in ASCII. Python would also take underscores, blanks, ``nan`` and ``inf``.
WRITTEN = {
    int: re.compile(r"[+-]?[0-9]{1,30}"),
    float: re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?"),
}


def number(low: float, high: float, kind: type = int) -> Parser:
    """Parses a number from ``low`` to ``high`` of the type ``kind``, int or float."""

    def parse(text: str) -> Any:
        value = kind(text) if WRITTEN[kind].fullmatch(text) else None
        if value is None or not low <= value <= high:
            raise Unusable(f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}")
        return value

    return parse


def one_of(*choices: str) -> Parser:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise Unusable(f"one of {', '.join(choices)}")
        return text.lower()

    return parse


def url(*schemes: str) -> Parser:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in schemes and parts.hostname and (parts.port or True) and text.isprintable()
        except ValueError:
            usable = False
        if not usable:
            raise Unusable(
                f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)} and names a host"
            )
        return text.rstrip("/")

    return parse


def redis(*kinds: str) -> Parser:
    """Parses the URL of a Redis of one of ``kinds``; see redis_address.py."""

    def parse(text: str) -> str:
        try:
            found = redis_address.parse(text)
        except ValueError as error:
            raise Unusable(str(error)) from None
        if found.kind not in kinds:
            raise Unusable(f"a URL that begins with {' or '.join(f'{kind}://' for kind in kinds)}")
        return found.url

    return parse


def replica(text: str) -> str:
    """Checks the URL of a replica, or of sentinels that name the replicas."""
    if text.partition("://")[0].endswith("+cluster"):
        raise Unusable("a replica of one server: a cluster spreads its reads over its servers by itself")
    return str(redis(redis_address.SERVER, redis_address.SOCKET, redis_address.SENTINEL)(text))


def broker(text: str) -> str:
    """Checks the URL of a broker. Celery knows more of them than Redis and RabbitMQ; celeryconfig checks the scheme."""
    if text.partition("://")[0] in redis_address.SCHEMES:
        return str(redis(redis_address.SERVER, redis_address.SOCKET, redis_address.SENTINEL)(text))
    if not re.match(r"[A-Za-z][A-Za-z0-9+.]*://", text) or not text.isprintable():
        raise Unusable("a URL such as amqp://user:password@host:5672/")
    return text


def or_empty(parse: Parser, empty: Any) -> Parser:
    return lambda text: parse(text) if text else empty


def words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def key(text: str) -> str:
    if not (text.isascii() and text.strip().isprintable()):
        raise Unusable("printable ASCII, as it goes into a header")
    return text.strip()


def store_password(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.~+/=-]{0,512}", text):
        raise Unusable("letters, digits and any of _.~+/=-, as it goes into the store's configuration file")
    return text


def address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise Unusable("an IPv4 address, e.g. 127.0.0.1, or 0.0.0.0 for all") from None


@dataclass(frozen=True)
class PerSource:
    """One value for all sources, and own values for some sources."""

    default: Any
    own: Mapping[str, Any]

    def of(self, source: str) -> Any:
        return self.own.get(source, self.default)


def per_source(parse: Parser, empty: Any = None) -> Parser:
    """Parses ``60`` or ``60; kraken=30``: a value for all, and one for kraken. ``empty``: the value of no text."""

    def parsed(text: str) -> PerSource:
        default, own = empty, {}
        for part in filter(None, map(str.strip, text.split(";"))):
            name, equals, value = part.partition("=")
            if equals and re.fullmatch(r"\s*[a-z0-9]+\s*", name):
                own[name.strip()] = parse(value.strip()) if value.strip() else empty
            else:
                default = parse(part)
        return PerSource(default, own)

    return parsed


def globs(text: str) -> tuple[str, ...]:
    if not re.fullmatch(r"[a-z0-9._*?\[\]!,\s-]*", text.lower()):
        raise Unusable("a comma-separated list of patterns of pairs, e.g. btc*, *eur")
    return words(text.lower())


def aliases(text: str) -> dict[str, str]:
    """Parses ``old:new`` pairs. Returns {new currency: its old name}."""
    pairs = [word.lower().split(":") for word in words(text)]
    if not all(len(pair) == 2 and all(map(CURRENCY.fullmatch, pair)) for pair in pairs):
        raise Unusable("a comma-separated list of old:new currencies, e.g. matic:pol")
    found = {new: old for old, new in pairs}
    if len(found) < len(pairs) or len(set(found.values())) < len(pairs):
        raise Unusable("each currency once as an old and once as a new name: a history goes to one market")
    for name in found:
        before: str | None = name
        while before := found.get(before or ""):
            if before == name:
                raise Unusable(f"no circle of names: {name} would be its own old name")
    return found


@dataclass(frozen=True)
class Allowed:
    """At most ``amount`` of a source's own units in any ``seconds``."""

    amount: float
    seconds: int


def allowed(text: str) -> Allowed:
    amount, _, seconds = text.partition("/")
    try:
        return Allowed(number(0.001, 1e6, float)(amount), int(number(1, 86_400)(seconds)))
    except Unusable:
        raise Unusable("requests/seconds, e.g. 15/15") from None


def source_names(text: str) -> tuple[str, ...]:
    """Checks the form of the names. ``sources.known`` checks at the start that they exist."""
    names = words(text)
    if not names or len(set(names)) < len(names) or not all(re.fullmatch(r"[a-z0-9]{1,40}", name) for name in names):
        raise Unusable(SOURCES_EXPECTED)
    return names


def path(text: str) -> str:
    if not text.isprintable():
        raise Unusable("a path of printable characters")
    return text


def prefix(text: str) -> str:
    """Checks the path at which a proxy serves a part."""
    if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", text):
        raise Unusable("a path such as /flower")
    return text


def logins(text: str) -> str:
    """Checks ``user:password``, or several of them separated by commas, as Flower reads them."""
    if not all(re.fullmatch(r"[^:\s]+:\S+", login) and login.isascii() for login in text.split(",")):
        raise Unusable("user:password, or several, comma-separated")
    return text


def emails(text: str) -> str:
    """Checks who may log in, as Flower reads it: addresses separated by ``|``, or all addresses of one domain."""
    host = r"@[A-Za-z0-9.-]+"
    if not re.fullmatch(rf"\.\*{host}|[^\s|*@]+{host}(\|[^\s|*@]+{host})*", text):
        raise Unusable("addresses such as me@example.com|you@example.com, or .*@example.com")
    return text


def login_provider(text: str) -> str:
    """The class of Flower that logs people in through a provider. Takes the class itself, too."""
    found = LOGIN_PROVIDERS.get(text.lower(), text)
    if found not in LOGIN_PROVIDERS.values():
        raise Unusable(f"one of {', '.join(LOGIN_PROVIDERS)}")
    return found


def yes_or_no(text: str) -> bool:
    return bool(one_of("yes", "no")(text) == "yes")


def origins(text: str) -> tuple[str, ...]:
    found = words(text)
    for origin in found:
        if origin != "*" and (url("http", "https")(origin) != origin or urlsplit(origin).path):
            raise Unusable("origins such as https://charts.example, comma-separated, or *")
    return found


def step(text: str) -> int:
    steps = ("60", "180", "300", "900", "1800", "3600")
    return int(one_of(*steps)(text))


def markets_per_task(text: str) -> int | None:
    try:
        return None if text == "auto" else number(1, 10_000)(text)
    except Unusable:
        raise Unusable("auto, or a whole number from 1 to 10,000") from None
