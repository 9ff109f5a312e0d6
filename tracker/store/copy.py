"""Copies a store to another one, key by key, and compares them. Each is one server, behind sentinels, or a cluster.

Values are read and written by their type. DUMP and RESTORE would need less code, but a server refuses the dumps of a
newer one, and Redis those of Valkey 9, which is the embedded store.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis import Redis

from tracker.errors import StoreError, TrackerError
from tracker.store import model
from tracker.store.connection import PREFIX, RINGS, topology_of, translated
from tracker.store.layout import flat
from tracker.store.pipelines import pipeline
from tracker.store.raw import Command

#: A string that TO has until its copy is finished. Without it, data in TO may be newer than that in FROM.
UNFINISHED = f"{PREFIX}:copying"
#: Keys that are not copied: they change all the time, and end after minutes. Counts of requests, and heartbeats.
LEFT_OUT = tuple(key.encode() for key in (UNFINISHED, f"{PREFIX}:count:", f"{PREFIX}:part"))
#: Bytes, as the source holds them, and keys that are copied at a time. A larger key is copied alone.
BYTES, KEYS = 4 << 20, 1_000


class Kind(NamedTuple):
    """How values of a type are copied. ``parts``: what ``read`` returns, as arguments for ``add``, in a fixed order.

    most: ``add`` takes so many parts at once.
    """

    read: Command
    parts: Callable[[Any], list[tuple[Any, ...]]]
    add: str
    most: int = 1_000


KINDS = {
    b"string": Kind(("GET",), lambda value: [] if value is None else [(value,)], "SET"),
    b"hash": Kind(("HGETALL",), lambda value: sorted(value.items()), "HSET"),
    b"list": Kind(("LRANGE", 0, -1), lambda value: [(each,) for each in value], "RPUSH"),
    b"set": Kind(("SMEMBERS",), lambda value: sorted((each,) for each in value), "SADD"),
    b"zset": Kind(("ZRANGE", 0, -1, "WITHSCORES"), lambda value: [(score, member) for member, score in value], "ZADD"),
    b"stream": Kind(("XRANGE", "-", "+"), lambda value: [(id, *entry) for id, entry in value], "XADD", most=1),
}


class Key(NamedTuple):
    """A key of the tracker. ``size``: bytes that it takes in the memory of its server."""

    kind: Kind
    size: int


class Side:
    """A store that is copied from or to. Every method raises TrackerError, which begins with the side's ``name``."""

    def __init__(self, name: str, redis: Redis):
        self.name = name
        self.redis: Any = redis  # as in Store
        self._raw: Any = pipeline(redis)

    def keys(self) -> dict[bytes, Key]:
        """All keys of the tracker but those LEFT_OUT. Keys that are written meanwhile may be missing."""
        with self._named():
            return {name: key for server in self._servers() for name, key in _keys(server)}

    def data(self) -> set[bytes]:
        """The names of all keys but the one that each part makes when it starts."""
        return self.keys().keys() - {model.MODEL.encode()}

    def ids(self) -> set[tuple[str, int]]:
        """Tells stores apart: the run and the database of each server."""
        database = self.redis.connection_pool.connection_kwargs.get("db") or 0
        with self._named():
            return {(server.info("server")["run_id"], database) for server in self._servers()}

    def version(self) -> int | None:
        """The version of the data, see model.py."""
        with self._named():
            return model.stored(self.redis)

    def is_unfinished(self) -> bool:
        with self._named():
            return is_unfinished(self.redis)

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        return self.finish(self.begin(commands))

    def begin(self, commands: Iterable[Command]) -> Any:
        with self._named():
            return self._raw.begin(commands)

    def finish(self, batch: Any) -> list[Any]:
        with self._named():
            replies: list[Any] = self._raw.finish(batch)
            return replies

    def _servers(self) -> list[Any]:
        """A client of each server that has keys."""
        topology = topology_of(self.redis)
        return [topology.client(node) for node in topology.nodes()] if topology else [self.redis]

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            with translated():
                yield
        except StoreError as error:
            raise TrackerError(f"{self.name}: {error}") from error


def is_unfinished(redis: Redis) -> bool:
    """Whether the store is a copy that lacks data. Raises StoreError."""
    return bool(pipeline(redis).ask([("EXISTS", UNFINISHED)])[0])


def prepare(source: Side, target: Side, replace: bool) -> None:
    """Makes ``target`` ready for a copy of ``source``. ``replace``: deletes what the tracker has there.

    Goes on with an unfinished copy. Raises TrackerError if the copy might lose data.
    """
    if source.ids() & target.ids():
        raise TrackerError(f"{source.name} and {target.name} are the same store")
    for side in (source, target):
        if (found := side.version()) not in (None, model.VERSION):
            raise TrackerError(f"{side.name} has data of version {found}, expected {model.VERSION}")
    if not source.data():
        raise TrackerError(f"{source.name} has no data of a tracker")
    if source.is_unfinished():
        raise TrackerError(f"{source.name} is a copy that was not finished: it lacks data")
    if not target.is_unfinished():
        known = target.data()
        if known and not replace:
            raise TrackerError(f"{target.name} has data of a tracker, {len(known):,} keys: --replace deletes them")
        target.ask([("SET", UNFINISHED, ""), *(("UNLINK", name) for name in known)])


def equalize(source: Side, target: Side, keys: Mapping[bytes, Key], done: Callable[[int], object]) -> list[bytes]:
    """Makes ``target`` have what ``source`` has now; returns the names of the keys that differed.

    ``keys``: those of ``source``. ``done`` is called with the size of each batch of keys that is equal now.
    """
    different: list[bytes] = []
    for batch in _batches(keys):
        read = [command for name, key in batch.items() for command in _read(name, key.kind)]
        sides = (source, target)
        begun = [side.begin(read) for side in sides]  # both servers work at the same time
        ours, theirs = ([*_values(side.finish(each), batch)] for side, each in zip(sides, begun, strict=True))
        changed = {name: value for name, value, other in zip(batch, ours, theirs, strict=True) if value != other}
        target.ask(command for name, value in changed.items() for command in _written(name, batch[name].kind, value))
        different += changed
        done(sum(key.size for key in batch.values()))
    gone = target.keys().keys() - keys.keys()
    target.ask(("UNLINK", name) for name in gone)
    return [*different, *gone]


def finish(target: Side) -> None:
    """Notes that ``target`` is a whole copy."""
    target.ask([("DEL", UNFINISHED)])


class Value(NamedTuple):
    """What a key holds. ``end``: of its life, in Unix milliseconds, or below 0. A key that is gone has no parts."""

    end: int
    parts: list[tuple[Any, ...]]


def _read(name: bytes, kind: Kind) -> list[Command]:
    command, *arguments = kind.read
    return [("PEXPIRETIME", name), (command, name, *arguments)]


def _values(replies: list[Any], batch: Mapping[bytes, Key]) -> Iterator[Value]:
    for key, end, value in zip(batch.values(), replies[::2], replies[1::2], strict=True):
        yield Value(end, key.kind.parts(value))


def _written(name: bytes, kind: Kind, value: Value) -> Iterator[Command]:
    yield "UNLINK", name
    for at in range(0, len(value.parts), kind.most):
        yield kind.add, name, *flat(value.parts[at : at + kind.most])
    if value.end > 0:
        yield "PEXPIREAT", name, value.end


def _batches(keys: Mapping[bytes, Key]) -> Iterator[dict[bytes, Key]]:
    """Parts of ``keys`` of at most BYTES and KEYS each."""
    batch: dict[bytes, Key] = {}
    size = 0
    for name, key in keys.items():
        if batch and (size + key.size > BYTES or len(batch) == KEYS):
            yield batch
            batch, size = {}, 0
        batch[name] = key
        size += key.size
    if batch:
        yield batch


def _keys(server: Any) -> Iterator[tuple[bytes, Key]]:
    """The names and keys of one server."""
    found = {name for pattern in (f"{PREFIX}:*", f"{RINGS}*") for name in server.scan_iter(pattern, KEYS)}
    names = sorted(name for name in found if not name.startswith(LEFT_OUT))
    for at in range(0, len(names), KEYS):
        page = names[at : at + KEYS]
        asked = [command for name in page for command in (("TYPE", name), ("MEMORY", "USAGE", name))]
        replies = pipeline(server).ask(asked)
        for name, kind, size in zip(page, replies[::2], replies[1::2], strict=True):
            if kind != b"none":  # it may have ended meanwhile
                yield name, Key(KINDS[kind], size or 0)
