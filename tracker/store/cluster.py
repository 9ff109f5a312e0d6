"""A cluster of servers: which of them has which keys, and connections to the one that has the shared keys.

Only rings are spread over the servers. All other keys have the same text in braces, so one server has them, and a plain
client of that server is enough for them, with its transactions. Slots and redirections:
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec.
"""

import random
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from redis import Redis, RedisError
from redis.connection import Connection, SSLConnection
from redis.exceptions import AskError, ClusterDownError, ConnectionError, MovedError, TryAgainError
from redis.retry import Retry

#: Host and port of a server.
Node = tuple[str, int]
#: Replies of a cluster that has moved the keys, or is about to. They are asked for again.
ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
#: Seconds within which the servers are not asked again who has which keys.
FRESH = 0.1
#: Seconds that a server has to say who has which keys.
ASKED = 1.0


class Topology:
    """Knows the server of each slot. Any server of the cluster tells it, and it is asked again after ``forget``."""

    def __init__(self, hosts: tuple[Node, ...], options: Callable[[], dict[str, Any]], retry: Retry):
        """``hosts``: some servers of the cluster. ``options``: makes redis-py's options for a client of one server.

        ``retry``: how often, and how long, a caller waits for a server that is away, or for its replica.
        """
        self.retry = retry
        self._options = options
        self._hosts = hosts
        self._lock = threading.Lock()
        self._firsts: list[int] = []  # the first and the last slot of each range, ascending
        self._lasts: list[int] = []
        self._owners: list[Node] = []
        self._learned = 0.0  # by time.monotonic
        self._known = False
        self._silent: set[Node] = set()  # those that did not answer when they were asked last

    def owner(self, slot: int) -> Node:
        """The server that has ``slot``. Raises ConnectionError if no server tells."""
        with self._lock:
            if not self._known:
                self._learn()
            at = bisect_right(self._firsts, slot) - 1
            if at < 0 or slot > self._lasts[at]:
                self._known = False  # it may be one that is still being made
                raise ConnectionError(f"the cluster has no server for slot {slot}")
            return self._owners[at]

    def nodes(self) -> list[Node]:
        """All servers that have slots. Raises ConnectionError if no server tells."""
        self.owner(0)
        with self._lock:
            return list(dict.fromkeys(self._owners))

    def client(self, node: Node) -> Redis:
        return Redis(host=node[0], port=node[1], **self._options())

    def forget(self) -> None:
        """The next question is asked to the servers: one of them is away, or has said that keys have moved."""
        with self._lock:
            self._known = False

    def _learn(self) -> None:
        if time.monotonic() - self._learned < FRESH:
            return
        known = list(dict.fromkeys([*self._owners, *self._hosts]))
        random.shuffle(known)  # one that is cut off from the others may tell what was true before
        failure: RedisError | None = None
        for node in sorted(known, key=self._silent.__contains__):
            try:
                with self._questioner(node) as client:
                    self._take(client.execute_command("CLUSTER SLOTS"), node)
                self._silent.discard(node)
                return
            except RedisError as error:
                failure = error
                self._silent.add(node)
        raise ConnectionError(f"no server of the cluster tells who has which keys, the last: {failure}") from failure

    def _questioner(self, node: Node) -> Redis:
        """A client that waits little: all threads wait for this answer, and another server may have it."""
        options = self._options()
        waits = {name: min(options[name], ASKED) for name in ("socket_timeout", "socket_connect_timeout")}
        return Redis(host=node[0], port=node[1], **options | waits)

    def _take(self, told: Any, by: Node) -> None:
        """Takes the reply to CLUSTER SLOTS. A server without an address has that of the server that replied."""
        if not told:
            raise ConnectionError(f"{by[0]}:{by[1]} knows no server that has keys")
        ranges = sorted((first, last, (_host(server[0], by), server[1])) for first, last, server, *_ in told)
        self._firsts = [first for first, _, _ in ranges]
        self._lasts = [last for _, last, _ in ranges]
        self._owners = [owner for _, _, owner in ranges]
        self._learned, self._known = time.monotonic(), True


def _host(told: bytes | None, by: Node) -> str:
    return by[0] if told in (None, b"", b"?") else told.decode()


class SharedConnection(Connection):
    """Connects to the server of the cluster that has ``slot``, whichever that is by then."""

    def __init__(self, topology: Topology, slot: int, **options: Any):
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py has no types here
        self.topology, self.slot = topology, slot

    def _connect(self) -> socket.socket:
        self.host, self.port = self.topology.owner(self.slot)
        try:
            opened: socket.socket = super()._connect()  # type: ignore[no-untyped-call]  # as above
        except OSError:
            self.topology.forget()
            raise
        return opened

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)
        except ELSEWHERE as error:
            self.topology.forget()
            self.disconnect()  # type: ignore[no-untyped-call]  # as above
            raise ConnectionError(f"the server has not these keys now: {error}") from error


class SharedSSLConnection(SharedConnection, SSLConnection):
    """The same, encrypted."""
