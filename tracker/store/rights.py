"""Tells at the start which rights the user of the store or of the broker lacks. SECURITY.md lists them all.

The server checks the rights to a command as soon as the command is added to a transaction. So a few commands of each
kind are added to a transaction that is never executed.
"""

from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisError
from redis.exceptions import NoPermissionError, ResponseError

from tracker.errors import SettingsError, StoreError
from tracker.redis_address import SCHEMES, parse
from tracker.settings import Settings
from tracker.store.connection import connect, topology_of
from tracker.store.layout import VERSION, ring_key
from tracker.store.raw import Command

#: The most commands that a line names.
SHOWN = 4
#: What each of the two users needs, whatever the keys.
BOTH: list[Command] = [("PING",), ("TIME",), ("SCRIPT", "LOAD", "x"), ("EVALSHA", "x", "0")]
STORE: list[Command] = [
    ("INFO", "server"),
    *(command for key in (ring_key("x"), VERSION) for command in (("GET", key), ("SET", key, ""))),
]
#: The keys of Celery: queues, answers to Flower, messages that run, and which queues there are.
QUEUES = ("fetch", "evaluate", "notify", "x@y.celery.pidbox", "x.reply.celery.pidbox", "celeryev.x")
OTHERS = ("unacked", "unacked_index", "unacked_mutex", "_kombu.binding.fetch")
BROKER: list[Command] = [
    ("SCRIPT", "EXISTS", "x"),
    *(command for key in QUEUES for command in (("LPUSH", key, ""), ("BRPOP", key, "1"))),
    *(command for key in OTHERS for command in (("TYPE", key), ("DEL", key))),
]
#: Channels of orders to workers, and of events for Flower. ``%d`` is the number of the database.
ORDERS, EVENTS = "/%d.celery.pidbox", "/%d.celeryev/"


def check(settings: Settings, broker: bool = True) -> None:
    """Raises SettingsError if a user lacks a right. ``broker``: whether the part that starts uses the broker.

    The embedded store gives its user all rights. A server that is away is no error, because parts wait for it.
    """
    shared = broker and not settings.broker_given
    if settings.redis_given:
        database = parse(settings.redis_url).database
        _require("REDIS_URL", settings.redis_url, [*STORE, *(_of_broker(database) if shared else [])])
    if broker and settings.broker_given.partition("://")[0] in SCHEMES:
        url = settings.broker_url
        _require("BROKER_URL", url, _of_broker(parse(url).database))


def _of_broker(database: int) -> list[Command]:
    orders, events = ORDERS % database, EVENTS % database
    published: list[Command] = [("PUBLISH", orders, ""), ("PUBLISH", f"{events}x", "")]
    return [*BROKER, *published, ("PSUBSCRIBE", orders), ("PSUBSCRIBE", f"{events}*")]


def _require(name: str, url: str, commands: Sequence[Command]) -> None:
    lacking, said = _lacking(url, [*BOTH, *commands])
    if lacking:
        shown = ", ".join(lacking[:SHOWN]) + (f" and {len(lacking) - SHOWN} other commands" if lacking[SHOWN:] else "")
        raise SettingsError(
            f"{name}={parse(url).shown}: expected a user that may run {shown} (the server says: {said}); "
            "SECURITY.md has the rights that it needs"
        )


def _lacking(url: str, commands: Sequence[Command]) -> tuple[list[str], str]:
    """Those of ``commands`` that the user may not run, without values, and what the server says of the first one.

    Every server of a cluster is asked: each has users of its own.
    """
    lacking: dict[str, str] = {}
    try:
        with connect(url, tries=1, patience=3) as redis:
            topology = topology_of(redis)
            for client in [topology.client(node) for node in topology.nodes()] if topology else [redis]:
                lacking |= _refused(client, commands)
    except (RedisError, StoreError) as error:
        why = error if isinstance(error, NoPermissionError) else error.__cause__
        if isinstance(why, NoPermissionError):
            return ["what it takes to connect"], str(why)
    return [*lacking], next(iter(lacking.values()), "")


def _refused(redis: Redis, commands: Sequence[Command]) -> dict[str, str]:
    """A command that the user may not run, without values -> what the server says. Raises RedisError."""
    refused: dict[str, str] = {}
    pool: Any = redis.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    try:
        connection.connect()
        for command in [("MULTI",), *commands]:
            connection.send_command(*command)
            try:
                connection.read_response()
            except NoPermissionError as error:
                refused[" ".join(map(str, command[:2]))] = str(error)
                if command == ("MULTI",):
                    break  # what follows would be executed
            except ResponseError:  # e.g. another server of a cluster has the key: the rights were checked first
                pass
    finally:
        connection.disconnect()
    return refused
