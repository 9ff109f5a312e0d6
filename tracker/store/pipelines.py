"""The pipeline of a client: commands to one server, or to all servers of a cluster. What a pipeline is: raw.py."""

from weakref import WeakKeyDictionary

from redis import Redis

from tracker.store.cluster_pipeline import ClusterPipeline
from tracker.store.connection import topology_of
from tracker.store.raw import RawPipeline

_made: WeakKeyDictionary[Redis, RawPipeline | ClusterPipeline] = WeakKeyDictionary()


def pipeline(redis: Redis) -> RawPipeline | ClusterPipeline:
    """The pipeline that all users of ``redis`` share."""
    found = _made.get(redis)
    if found is None:
        topology = topology_of(redis)
        made = ClusterPipeline(topology) if topology else RawPipeline(redis)
        found = _made.setdefault(redis, made)
    return found
