"""The pipeline of a client: commands to one server, to all servers of a cluster, or to replicas; raw.py says more."""

from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from redis import Redis

from tracker.store.cluster_pipeline import ClusterPipeline
from tracker.store.connection import topology_of
from tracker.store.raw import Command, RawPipeline


class Pipeline(Protocol):
    """What all kinds of pipelines do, see raw.py. Each has a kind of batch of its own."""

    def ask(self, commands: Iterable[Command]) -> list[Any]: ...
    def ask_in_turn(self, first: Iterable[Command], then: Iterable[Command]) -> list[Any]: ...
    def begin(self, commands: Iterable[Command]) -> Any: ...
    def finish(self, batch: Any) -> list[Any]: ...


_made: WeakKeyDictionary[Redis, Pipeline] = WeakKeyDictionary()


def pipeline(redis: Redis) -> Pipeline:
    """The pipeline that all users of ``redis`` share."""
    found = _made.get(redis)
    if found is None:
        topology = topology_of(redis)
        made = ClusterPipeline(topology) if topology else RawPipeline(redis)
        found = _made.setdefault(redis, made)
    return found


def use(redis: Redis, made: Pipeline) -> None:
    """Makes ``made`` the pipeline of ``redis``."""
    _made[redis] = made
