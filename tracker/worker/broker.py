"""Turns BROKER_URL into Celery's settings for that broker. Comments name the fault that each setting prevents."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, urlencode

from kombu import Connection
from kombu.entity import Exchange, Queue
from redis.connection import SSLConnection, parse_url

from tracker.environment import refuse
from tracker.redis_address import CLUSTER, SCHEMES, SENTINEL, SERVER, SOCKET, Address, parse
from tracker.settings import Settings

RABBITMQ = ("amqp", "amqps", "pyamqp")
#: Schemes that Celery knows but that we write in another way, or that do not connect processes.
NOT_OURS = ("redis", "rediss", "sentinel", "memory")
#: Files of TLS, by their names in a URL.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def separate(name: str) -> Queue:
    """A queue with a direct exchange of its own, which every broker has."""
    return Queue(name, Exchange(name), routing_key=name)


def replicated(name: str) -> Queue:
    """A quorum queue of RabbitMQ: its messages survive the loss of a node.

    Countdowns on it are Celery's delayed delivery, which needs a topic exchange. Without that, a worker would hold
    the message.
    """
    queue_type = {"x-queue-type": "quorum"}
    return Queue(name, Exchange("tracker", type="topic"), routing_key=name, queue_arguments=queue_type)


@dataclass(frozen=True)
class Broker:
    """Celery's settings for a broker. ``tls``: its options of TLS, False without; ``queue``: makes the queue NAME."""

    url: str = field(repr=False)
    tls: dict[str, Any] | bool = False
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    queue: Callable[[str], Queue] = separate


def broker(settings: Settings) -> Broker:
    """The broker of ``settings``. Raises SettingsError, which shows no secret, if Celery cannot use it."""
    scheme = settings.broker_url.partition("://")[0]
    try:
        if scheme in SCHEMES:
            found = _redis(parse(settings.broker_url))
        elif scheme in RABBITMQ:
            found = _rabbitmq(settings.broker_url)
        elif scheme.partition("+")[0] in NOT_OURS:
            raise KeyError(scheme)
        else:
            found = Broker(settings.broker_url)  # with Celery's defaults
        _ = Connection(found.url, ssl=found.tls).transport
    except (KeyError, TypeError):  # an unknown scheme, an unknown option
        _refuse(settings, "a URL of Redis, of RabbitMQ (amqp://) or of another broker, with options that Celery knows")
    except (ImportError, NameError):  # kombu's module for Kafka fails so
        _refuse(settings, f"a broker whose Python library is installed: pip install 'celery[{scheme}]'")
    except ValueError as expected:
        _refuse(settings, str(expected))
    return found


def _refuse(settings: Settings, expected: str) -> NoReturn:
    refuse("BROKER_URL", "(secret)" if settings.broker_given else "", expected)


def _redis(address: Address) -> Broker:
    """Raises ValueError for a cluster, TypeError for an unknown option."""
    if address.kind == CLUSTER:
        raise ValueError("a broker of its own, e.g. redis:// or amqp://: a cluster of Redis cannot be one")
    tls = _checked(_options(address)) if address.encrypted else False
    options: dict[str, Any] = {
        # Seconds after which the message of a dead worker is delivered again. It is above the hard time limit and every
        # countdown, or a running task would start a second time.
        "visibility_timeout": 180,
        # Look for such messages every 5 s. With the defaults, redelivery takes 87 s longer.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # Notice a connection that died silently, e.g. when a network is cut. Without these, a worker came back only
        # minutes after the network.
        "health_check_interval": 10,
        "socket_keepalive": True,
        # A broker that hangs: it takes connections, or keeps them, and never answers.
        "socket_timeout": 15,
        # A machine that is gone does not even refuse a connection.
        "socket_connect_timeout": 3,
    }
    if address.kind == SENTINEL:
        options |= {"master_name": address.master, "sentinel_kwargs": _of_sentinels(address, tls)}
    return Broker(_celerys(address), tls, options)


def _celerys(address: Address) -> str:
    """The URL of ``address`` as Celery writes it."""
    if address.kind == SOCKET:
        return f"redis+socket://{address.login}{quote(address.path)}?virtual_host={address.database}"
    plain = replace(address, kind=SERVER, master="", sentinel_username="", sentinel_password="", tls=())
    each = [replace(plain, hosts=(host,)).url for host in address.hosts]
    if address.kind == SERVER:
        return each[0]
    return ";".join(f"sentinel://{url.partition('://')[2]}" for url in each)


def _of_sentinels(address: Address, tls: dict[str, Any] | bool) -> dict[str, Any]:
    """The options of connections to sentinels. Without time limits, a sentinel that hangs would stop a worker."""
    return {
        "username": address.sentinel_username or None,
        "password": address.sentinel_password or None,
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
    } | ({"ssl": True, **tls} if isinstance(tls, dict) else {})


def _options(address: Address) -> dict[str, Any]:
    """The options of TLS, with the types that redis-py wants. Without any, kombu would not check the server."""
    found = parse_url(f"rediss://host?{urlencode(address.tls)}")  # type: ignore[no-untyped-call]
    tls = {"ssl_cert_reqs": "required"} | {name: found[name] for name in found if name.startswith("ssl_")}
    SSLConnection(**tls)  # refuses an unknown option
    return tls


def _rabbitmq(url: str) -> Broker:
    """Raises ValueError for an unknown option of TLS.

    No visibility timeout here. RabbitMQ delivers a task again as soon as its worker's connection ends: see
    ``broker_heartbeat`` in celeryconfig for a connection that dies silently. It also closes the channel of a worker
    that does not acknowledge a task within 30 minutes (consumer_timeout). It drops expired ticks itself.
    """
    place, _, query = url.partition("?")
    given = dict(parse_qsl(query))
    tls: dict[str, Any] | bool = False
    if url.startswith("amqps://"):
        files = _checked({name: given.pop(name) for name in FILES if name in given})
        # py-amqp compares the server's name with its certificate only if it is told to.
        tls = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
        tls |= {name.removeprefix("ssl_"): path for name, path in files.items()}
    if any(name.startswith("ssl_") for name in given):
        raise ValueError(f"a URL with no options of TLS but {', '.join(FILES)}, after amqps://")
    options = {
        # Wait until RabbitMQ has a message on disk. Otherwise messages are lost when it restarts.
        "confirm_publish": True,
        # Seconds to wait for an answer. Otherwise a RabbitMQ that hangs would stop a worker.
        "read_timeout": 10,
        "write_timeout": 10,
        # A RabbitMQ that is short of memory or disk lets publishers wait, however long that lasts.
        "on_blocked": _blocked,
    }
    return Broker(f"{place}?{urlencode(given)}" if given else place, tls, options, replicated)


def _blocked(reason: str) -> None:
    raise OSError(f"RabbitMQ is short of memory or disk: {reason}")


def _checked(tls: dict[str, Any]) -> dict[str, Any]:
    """``tls``, if its files can be read: a worker would try again for ever. Raises ValueError."""
    for name in FILES:
        if name in tls and not Path(tls[name]).is_file():
            raise ValueError(f"a file that exists as {name}")
    return tls


def unreachable(settings: Settings, patience: float) -> str:
    """Why the broker of ``settings`` takes no connection within ``patience`` seconds; empty if it does."""
    found = broker(settings)
    faults: list[str] = ["it is silent"]

    def connect() -> None:
        try:
            with Connection(found.url, ssl=found.tls, transport_options=found.options) as connection:
                connection.ensure_connection(max_retries=len(connection.alt), interval_start=0, interval_step=0)
                faults.clear()
        except Exception as error:  # each broker has its own
            faults[0] = str(error) or type(error).__name__

    asking = threading.Thread(target=connect, name="is the broker there", daemon=True)
    asking.start()
    asking.join(patience)
    return faults[0] if faults else ""
