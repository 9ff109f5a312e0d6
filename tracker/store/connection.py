"""Opens the connection to the store, translates its errors, and names the prefix of all keys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis, RedisError
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tracker.errors import StoreError
from tracker.store.failfast import FailFast
from tracker.store.local import LocalConnection

PREFIX = "dt1"
T = TypeVar("T")


def connect(url: str, tries: int = 6, patience: float = 15, pause: float = 0, local: Path | None = None) -> Redis:
    """A client of the server at ``url``. The server has ``patience`` seconds to accept and to answer.

    ``tries`` bridge a restart of about ``tries - 1`` seconds; 1 fails at once. After a failure, calls fail at once for
    ``pause`` seconds, see FailFast. ``local``: a Unix socket where the same server may listen, see LocalConnection.
    Raises StoreError for an unknown option in the URL.
    """
    try:
        client = Redis.from_url(
            url,
            **({"connection_class": LocalConnection, "local": local} if local else {}),
            socket_timeout=patience,
            socket_connect_timeout=min(patience, 3),
            socket_keepalive=True,
            health_check_interval=10,
            retry=FailFast(tries, pause) if pause else Retry(ExponentialBackoff(cap=2, base=0.1), tries - 1),
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # refuses an unknown option
    except (TypeError, ValueError) as error:
        raise StoreError(f"the store's URL has an option that cannot be used: {error}") from error
    return client


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
