"""Whether the configured server can be the store. Each part asks at its start, and says in one line what is wrong."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from redis import Redis, RedisError

from tracker.errors import SettingsError, StoreError
from tracker.redis_address import CLUSTER, SERVER, Address, parse
from tracker.settings import Settings
from tracker.store import model
from tracker.store.connection import connect, topology_of, translated
from tracker.store.copy import is_unfinished

#: The oldest usable major version of the server.
OLDEST = 7
#: Seconds that a server has to answer.
PATIENCE = 3
RISKS = {
    "aof_enabled": "it writes no append-only file: a crash loses API keys, silences, alerts and waiting notices",
    "maxmemory_policy": "its maxmemory-policy is not noeviction: once it has a limit, it would drop data",
}


def check(settings: Settings) -> list[str]:
    """Warnings about the store. Raises SettingsError if it would lose data or take none, StoreError if it is away.

    The embedded store is only asked for the version of its data.
    """
    with connect(settings.redis_url, tries=1, patience=PATIENCE, local=settings.redis_socket) as redis:
        warnings = judge(redis, "REDIS_URL", parse(settings.redis_url)) if settings.redis_given else []
        model.check(redis)
        if is_unfinished(redis):
            raise SettingsError("the store holds a copy that is not finished: run `python -m tracker store copy` again")
    return warnings


def check_if_there(settings: Settings) -> list[str]:
    """As ``check``, but nothing while the store is away: a part waits for it."""
    try:
        return check(settings)
    except StoreError:
        return []


def judge(redis: Redis, name: str, address: Address) -> list[str]:
    """Warnings about the servers at ``address``. Raises as ``check``; ``name`` is that of the address in all texts."""
    _check_cluster(name, address)
    warnings: list[str] = []
    for told in servers(redis):
        if expected := unusable(told, address.kind) or _dropping(told):
            raise SettingsError(f"{name}={address.shown}: expected {expected}")
        warnings += [f"{name}={address.shown}: {RISKS[risk]}" for risk in risks(told)]
    return list(dict.fromkeys(warnings))


def _check_cluster(name: str, address: Address) -> None:
    """Raises SettingsError if a host of a cluster's URL is no node of a cluster."""
    for host, port in address.hosts if address.kind == CLUSTER else ():
        one = replace(address, kind=SERVER, hosts=((host, port),))
        with suppress(RedisError), connect(one.url, tries=1, patience=PATIENCE) as redis:
            told: Any = redis.info("cluster")
            if not told.get("cluster_enabled"):
                expected = "a node of a cluster, this is one server: give redis://HOST:PORT"
                raise SettingsError(f"{name}={address.shown}: expected {expected}")


def servers(redis: Redis) -> Iterator[dict[str, Any]]:
    """What each server that takes writes tells of itself. Raises StoreError."""
    topology = topology_of(redis)
    with translated():
        clients = [redis] if topology is None else [topology.client(node) for node in topology.nodes()]
        for client in clients:
            told: Any = client.info()
            yield told


def unusable(told: dict[str, Any], kind: str) -> str:
    """What is expected in place of the server that told this; empty if it is usable."""
    if "sentinel" in (told.get("redis_mode"), told.get("server_mode")):  # Redis, Valkey
        return "the store, this is a sentinel: give redis+sentinel://HOST:PORT/0?master=NAME"
    if told.get("cluster_enabled") and kind != CLUSTER:
        return "one server, this is a node of a cluster: give redis+cluster://HOST:PORT,HOST:PORT"
    if int(str(told["redis_version"]).partition(".")[0]) < OLDEST:
        return f"Redis or Valkey {OLDEST} or newer, it is {told['redis_version']}"
    if told.get("role") == "slave":
        return "a server that takes writes, this is a replica: give its master (REDIS_READ_URL is for replicas)"
    return ""


def _dropping(told: dict[str, Any]) -> str:
    """What is expected in place of a server that drops data when it is full; empty if it does not."""
    if told.get("maxmemory") and told.get("maxmemory_policy") != "noeviction":
        return f"maxmemory-policy noeviction, it is {told['maxmemory_policy']}: a full server would drop data"
    return ""


def risks(told: dict[str, Any]) -> Iterator[str]:
    """Those of RISKS that the server that told this has."""
    if not told.get("aof_enabled"):
        yield "aof_enabled"
    if told.get("maxmemory_policy") != "noeviction":
        yield "maxmemory_policy"
