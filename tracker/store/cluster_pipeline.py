"""The raw pipeline to a cluster: each command goes to the server that has its key, and the servers work in parallel.

Its methods are those of RawPipeline. A cluster takes no command with keys of several servers, so MGET and EXISTS are
sent as one command for each key, and their replies are put together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, ConnectionError, MovedError, RedisError, ResponseError, TimeoutError

from tracker.store.cluster import ELSEWHERE, Node, Topology
from tracker.store.connection import translated
from tracker.store.raw import Batch, Command, RawPipeline

#: A command of several keys -> the command of one key, and how the replies are put together.
OF_SEVERAL: dict[Any, tuple[str, Any]] = {"MGET": ("GET", list), "EXISTS": ("EXISTS", sum)}
#: How often a batch follows keys to other servers before that counts as a failure.
REDIRECTIONS = 5
MISSING = object()


@dataclass(eq=False)
class ClusterBatch:
    """Commands of one key each, and their replies; MISSING where none is here yet.

    widths: how many commands each that was asked became, and how their replies are put together (None: it is one).
    sent: what is on its way, as (server, pipeline, position of each command, batch); a reply without a position is one
    that nobody needs.
    """

    commands: list[Command] = field(default_factory=list)
    widths: list[tuple[int, Any]] = field(default_factory=list)
    replies: list[Any] = field(default_factory=list)
    sent: list[tuple[Node, RawPipeline, list[int | None], Batch]] = field(default_factory=list)


class ClusterPipeline:
    """Sends commands to the servers of a cluster, on one connection for each server and thread."""

    def __init__(self, topology: Topology):
        self._topology = topology
        self._lanes: dict[Node, RawPipeline] = {}

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """The reply to each command; raises StoreError."""
        return self.finish(self.begin(commands))

    def ask_in_turn(self, first: Iterable[Command], then: Iterable[Command]) -> list[Any]:
        """The replies to ``first`` and ``then``. ``then`` is sent when all of ``first`` is done."""
        return [*self.ask(first), *self.ask(then)]

    def begin(self, commands: Iterable[Command]) -> ClusterBatch:
        """Sends commands. If that fails, ``finish`` sends them again."""
        batch = ClusterBatch()
        for command in commands:
            single, join = OF_SEVERAL.get(command[0], (None, None))
            each = [(single, key) for key in command[1:]] if single else [command]
            batch.commands += each
            batch.widths.append((len(each), join))
        batch.replies = [MISSING] * len(batch.commands)
        try:
            self._send(batch)
        except ConnectionError:  # no server told where the keys are
            batch.sent.clear()
        return batch

    def finish(self, batch: ClusterBatch) -> list[Any]:
        """The reply to each command of ``batch``, which this thread has begun; raises StoreError."""
        with translated():
            self._topology.retry.call_with_retry(lambda: self._complete(batch), lambda error: None)
            for reply in batch.replies:
                if isinstance(reply, ResponseError):
                    raise reply
        return list(_joined(batch))

    def _complete(self, batch: ClusterBatch) -> None:
        """Receives what is on its way. Follows keys to the servers that have them now."""
        for _ in range(REDIRECTIONS):
            if not batch.sent:
                self._send(batch)
            asking, failure = self._receive(batch)
            if MISSING not in batch.replies:
                return
            self._topology.forget()
            if failure:
                raise failure
            self._send(batch, asking)
        raise ConnectionError("the cluster sends the commands from one server to the next")

    def _receive(self, batch: ClusterBatch) -> tuple[dict[int, Node], RedisError | None]:
        """Returns (position -> the server that must be asked for this time, the last failure)."""
        sent, batch.sent = batch.sent, []
        asking: dict[int, Node] = {}
        failure: RedisError | None = None
        for at, (node, lane, positions, part) in enumerate(sent):
            try:
                replies = lane.receive(part)
            except (ConnectionError, TimeoutError) as error:
                failure = error
                continue
            except BaseException:  # a signal's handler raises anywhere: what is on its way must not be sent again later
                for _, other, _, _ in sent[at:]:
                    other.give_up()
                raise
            for position, reply in zip(positions, replies, strict=True):
                if position is None or isinstance(reply, MovedError):
                    continue
                if isinstance(reply, AskError):
                    asking[position] = (reply.host or node[0], reply.port)
                elif isinstance(reply, ELSEWHERE):
                    failure = ConnectionError(str(reply))
                else:
                    batch.replies[position] = reply
        return asking, failure

    def _send(self, batch: ClusterBatch, asking: dict[int, Node] | None = None) -> None:
        """Sends the commands without a reply, each to the server of its key, or to the one in ``asking``.

        ASKING makes a server take the next command for a key that is just moving to it.
        """
        parts: dict[Node, list[int | None]] = {}
        commands: dict[Node, list[Command]] = {}
        for position, reply in enumerate(batch.replies):
            if reply is not MISSING:
                continue
            command = batch.commands[position]
            moving_to = asking.get(position) if asking else None
            node = moving_to or self._topology.owner(_slot(command))
            parts.setdefault(node, []).extend([None, position] if moving_to else [position])
            commands.setdefault(node, []).extend([("ASKING",), command] if moving_to else [command])
        for node, positions in parts.items():
            lane = self._lane(node)
            batch.sent.append((node, lane, positions, lane.begin(commands[node])))

    def _lane(self, node: Node) -> RawPipeline:
        return self._lanes.get(node) or self._lanes.setdefault(node, RawPipeline(self._topology.client(node)))


def _slot(command: Command) -> int:
    key = command[1]
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _joined(batch: ClusterBatch) -> Iterator[Any]:
    replies = iter(batch.replies)
    for width, join in batch.widths:
        yield join(next(replies) for _ in range(width)) if join else next(replies)
