"""Opens the connection to the store, translates its errors, and names the prefix of all keys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from redis import ConnectionPool, Redis, RedisError
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import parse_url
from redis.crc import key_slot
from redis.retry import Retry
from redis.sentinel import Sentinel

from tracker.errors import StoreError
from tracker.redis_address import CLUSTER, PORT, SENTINEL, SERVER, SOCKET, Address, parse
from tracker.store.cluster import SharedConnection, SharedSSLConnection, Topology
from tracker.store.failfast import FailFast
from tracker.store.local import LocalConnection

#: All keys but the rings begin with this. The braces are part of it: a cluster keeps keys with the same text in braces
#: on one server, so that a transaction can change several. Rings are nearly all of the memory: they are on all servers.
PREFIX = "{dt1}"
RINGS = "dt1:ring:"
T = TypeVar("T")


def connect(url: str, tries: int = 6, patience: float = 15, pause: float = 0, local: Path | None = None) -> Redis:
    """A client of the store at ``url``, see redis_address.py. The server has ``patience`` seconds to accept and answer.

    With sentinels, it is a client of the server that is the master whenever it connects; with a cluster, of the server
    that has all keys but the rings (a Pipeline reaches those too). ``tries`` bridge a restart of about ``tries - 1``
    seconds; 1 fails at once. After a failure, calls fail at once for ``pause`` seconds, see FailFast. ``local``: a Unix
    socket where the same server may listen, see LocalConnection. Raises StoreError for an unknown option in the URL.
    """

    def options(tries: int) -> dict[str, Any]:
        # Ask an idle connection whether it is alive before each command. Who cannot wait does without: a server whose
        # disk is full refuses this PING, and answers reads.
        check = {"health_check_interval": 10} if tries > 1 and not pause else {}
        return _waiting(patience, FailFast(tries, pause) if pause else _patient(tries)) | check

    try:
        address = parse(url)
        access = _access(address)
        if address.kind == CLUSTER:
            topology = Topology(address.hosts, lambda: access | options(1), _patient(tries))
            client = _shared(topology, access | options(tries))
        elif address.kind == SENTINEL:
            client = _master(address, access, options(tries))
        else:
            client = _server(address, options(tries), local)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # refuses an unknown option
    except (TypeError, ValueError) as error:
        raise StoreError(f"the store's URL has an option that cannot be used: {error}") from error
    return client


def replicas_of(url: str, patience: float) -> Callable[[], list[str]]:
    """Returns a function that names the replicas at ``url``: the URL of each.

    That is ``url`` itself, or those that its sentinels name at the moment; none while no sentinel answers. Raises
    StoreError for an unknown option in the URL.
    """
    connect(url)
    address = parse(url)
    if address.kind != SENTINEL:
        return lambda: [url]
    sentinels = _sentinels(address, _access(address), _waiting(patience, _patient(1)))
    one = replace(address, kind=SERVER, master="", sentinel_username="", sentinel_password="")
    return lambda: [replace(one, hosts=(each,)).url for each in sentinels.discover_slaves(address.master)]


def _waiting(patience: float, retry: Retry) -> dict[str, Any]:
    return {
        "socket_timeout": patience,
        "socket_connect_timeout": min(patience, 3),
        "socket_keepalive": True,
        "retry": retry,
    }


def _patient(tries: int) -> Retry:
    return Retry(ExponentialBackoff(cap=2, base=0.1), tries - 1)


def _server(address: Address, options: dict[str, Any], local: Path | None) -> Redis:
    if address.kind == SOCKET:
        del options["socket_keepalive"]
    here = {"connection_class": LocalConnection, "local": local} if local else {}
    return Redis.from_url(address.url, **here, **options)


def _master(address: Address, access: dict[str, Any], options: dict[str, Any]) -> Redis:
    """A client of the master that the sentinels at ``address`` name."""
    client: Redis = _sentinels(address, access, options).master_for(address.master)
    return client


def _sentinels(address: Address, access: dict[str, Any], options: dict[str, Any]) -> Any:
    own = access | options | {
        "db": 0,
        "username": address.sentinel_username or None,
        "password": address.sentinel_password or None,
        "socket_timeout": min(options["socket_timeout"], 3),
        "retry": Retry(NoBackoff(), 0),  # the next sentinel is asked instead
    }  # fmt: skip
    sentinels: Any = Sentinel  # redis-py has no types here
    return sentinels(address.hosts, sentinel_kwargs=own, **access, **options)


def _shared(topology: Topology, options: dict[str, Any]) -> Redis:
    """A client of the cluster's server that has all keys but the rings."""
    kind = SharedSSLConnection if options.pop("ssl") else SharedConnection
    slot = key_slot(PREFIX.encode())
    return Redis(connection_pool=ConnectionPool(kind, topology=topology, slot=slot, **options))


def _access(address: Address) -> dict[str, Any]:
    """How to log in to each server of ``address`` and to encrypt, as redis-py's options."""
    one = replace(address, kind=SERVER, hosts=(("host", PORT),), master="")
    found = parse_url(one.url)  # type: ignore[no-untyped-call]  # as above
    dropped = ("host", "port", "connection_class")
    return {"ssl": address.encrypted} | {name: value for name, value in found.items() if name not in dropped}


def topology_of(redis: Redis) -> Topology | None:
    """The cluster to which ``redis`` belongs; None if it is a client of one server, or of sentinels."""
    found: Topology | None = redis.connection_pool.connection_kwargs.get("topology")
    return found


def server_version(redis: Redis) -> str:
    """The version of the server's command set, e.g. ``7.2.4``; raises StoreError."""
    with translated():
        answer: Any = redis.info("server")
    return str(answer["redis_version"])


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of redis-py into StoreError, with their cause."""
    try:
        yield
    except RedisError as error:
        raise StoreError(f"the store does not answer as it should: {str(error).rstrip('.')}") from error


def transact(redis: Redis, work: Callable[[Any], T], *keys: str) -> T:
    """Returns what ``work`` returns. ``work`` gets a pipeline: it reads, calls ``multi``, then adds its commands.

    It is repeated until none of ``keys`` changes meanwhile, and after a lost connection. So it must recognise its own
    work. Raises StoreError.
    """
    client: Any = redis  # redis-py's types do not know that this returns what ``work`` returns
    with translated():
        done: T = client.transaction(work, *keys, value_from_callable=True)
        return done
