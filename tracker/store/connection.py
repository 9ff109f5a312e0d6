"""Opens the connection to the store, translates its errors, and names the prefix of all keys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis, RedisError
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from tracker.errors import StoreError
from tracker.redis_address import PORT, SENTINEL, SERVER, SOCKET, Address, parse
from tracker.store.failfast import FailFast
from tracker.store.local import LocalConnection

PREFIX = "dt1"
T = TypeVar("T")


def connect(url: str, tries: int = 6, patience: float = 15, pause: float = 0, local: Path | None = None) -> Redis:
    """A client of the store at ``url``, see redis_address.py. The server has ``patience`` seconds to accept and answer.

    With sentinels, it is a client of the server that is the master whenever it connects. ``tries`` bridge a restart of
    about ``tries - 1`` seconds; 1 fails at once. After a failure, calls fail at once for ``pause`` seconds, see
    FailFast. ``local``: a Unix socket where the same server may listen, see LocalConnection. Raises StoreError for an
    unknown option in the URL.
    """
    options = {
        "socket_timeout": patience,
        "socket_connect_timeout": min(patience, 3),
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry": FailFast(tries, pause) if pause else Retry(ExponentialBackoff(cap=2, base=0.1), tries - 1),
    }
    try:
        address = parse(url)
        client = KINDS[address.kind](address, options, local)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # refuses an unknown option
    except (TypeError, ValueError) as error:
        raise StoreError(f"the store's URL has an option that cannot be used: {error}") from error
    return client


def _server(address: Address, options: dict[str, Any], local: Path | None) -> Redis:
    here = {"connection_class": LocalConnection, "local": local} if local else {}
    return Redis.from_url(address.url, **here, **options)


def _socket(address: Address, options: dict[str, Any], _: Path | None) -> Redis:
    del options["socket_keepalive"]
    return Redis.from_url(address.url, **options)


def _master(address: Address, options: dict[str, Any], _: Path | None) -> Redis:
    """A client of the master that the sentinels at ``address`` name."""
    access = _access(address)
    own = access | options | {
        "db": 0,
        "username": address.sentinel_username or None,
        "password": address.sentinel_password or None,
        "socket_timeout": min(options["socket_timeout"], 3),
        "retry": Retry(NoBackoff(), 0),  # the next sentinel is asked instead
    }  # fmt: skip
    sentinels: Any = Sentinel  # redis-py has no types here
    client: Redis = sentinels(address.hosts, sentinel_kwargs=own, **access, **options).master_for(address.master)
    return client


KINDS = {SERVER: _server, SOCKET: _socket, SENTINEL: _master}


def _access(address: Address) -> dict[str, Any]:
    """How to log in to each server of ``address`` and to encrypt, as redis-py's options."""
    one = replace(address, kind=SERVER, hosts=(("host", PORT),), master="")
    found = parse_url(one.url)  # type: ignore[no-untyped-call]  # as above
    dropped = ("host", "port", "connection_class")
    return {"ssl": address.encrypted} | {name: value for name, value in found.items() if name not in dropped}


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
