"""The raw pipeline: many commands to the store in one exchange, for less than half of what redis-py's pipeline costs.

A caller knows five things. ``pipeline(client)`` in pipelines.py is the pipeline of that client. ``ask`` sends commands
and returns their replies. ``ask_in_turn`` is for commands that must wait for others: the servers of a cluster answer in
any order. ``begin`` only sends commands, and ``finish`` returns the replies later: meanwhile the server and the caller
both work. After a broken connection commands are sent again, so only send commands that may be repeated. Transactions
are left to redis-py (``client.transaction``).

How it works: hiredis packs the commands. A connection object of redis-py sends them and parses the replies; it also
opens the socket, authenticates and encrypts. Each thread keeps one connection, so there is no pool to ask, and replies
are not converted.

What was measured (CPU; 2 cores, Python 3.11, redis-py 8.1 with hiredis, embedded Valkey by its Unix socket):

- One view of a series, of small replies and one of 26 kB: 29 us, with redis-py's pipeline 70 us.
- One slot written to 5,000 markets: 7 ms, with redis-py's pipeline 18 ms.
- One slot written and 10,000 metrics evaluated, client and server (bench.store, minima on a loaded machine): 143 to
  165 ms. A parser of our own that left large replies where they were received took 135 to 159 ms, which was not worth
  its code. Two things made it needless: one MGET for a chunk of rings (CHUNK in pipeline.py), and memory that is kept
  for the next chunk (FREED in series.py). Without the latter it is 220 ms and more. redis-py's pipeline adds 20 ms.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import hiredis
from redis import Redis
from redis.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, ResponseError

from tracker.store.connection import translated

Command = tuple[str | bytes | int | float, ...]


@dataclass(eq=False)
class Batch:
    """Packed commands, and their replies once these are here. ``refused``: the first reply that is an error."""

    packed: bytes
    count: int
    replies: list[Any] | None = None
    refused: ResponseError | None = None


class RawPipeline:
    """Sends commands on connections of the kind that ``redis`` makes, one for each thread."""

    def __init__(self, redis: Redis):
        self._pool = redis.connection_pool
        self._retry = redis.get_retry()
        self._local = _Local()

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """The reply to each command; raises StoreError."""
        return self.finish(self.begin(commands))

    def ask_in_turn(self, first: Iterable[Command], then: Iterable[Command]) -> list[Any]:
        """The replies to ``first`` and ``then``. The server does ``then`` after ``first``."""
        return self.ask([*first, *then])

    def begin(self, commands: Iterable[Command]) -> Batch:
        """Sends commands. If that fails, ``finish`` sends them again."""
        parts = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # it takes numbers
        batch = Batch(b"".join(parts), len(parts))
        self._local.begun.append(batch)
        if self._local.connection:
            try:
                self._send(batch)
            except RedisError:
                self._close()
            except BaseException:  # a signal's handler, such as that of a time limit, raises anywhere
                self._close()
                self._local.begun.remove(batch)
                raise
        return batch

    def finish(self, batch: Batch) -> list[Any]:
        """The reply to each command of ``batch``, which this thread has begun; raises StoreError.

        If it fails, all other batches of the thread are given up too: sent later, they might be out of date.
        """
        with translated():
            replies = self.receive(batch)
            if batch.refused:
                raise batch.refused
        return replies

    def receive(self, batch: Batch) -> list[Any]:
        """As ``finish``, but with the errors among the replies, and raises RedisError."""
        if batch.replies is None and batch not in self._local.begun:
            raise ConnectionError("it was given up with what was asked before")
        try:
            if self._retry is None:
                self._receive_until(batch)
            else:
                self._retry.call_with_retry(lambda: self._receive_until(batch), lambda error: None)
        finally:
            if batch.replies is None:
                self._local.begun.clear()
        assert batch.replies is not None
        return batch.replies

    def give_up(self) -> None:
        """Forgets all batches of this thread."""
        self._close()
        self._local.begun.clear()

    def _receive_until(self, batch: Batch) -> None:
        """Receives the replies to all batches up to ``batch``."""
        used = self._local.connection is not None
        try:
            if not used:
                self._open()
            while batch.replies is None:
                self._receive(self._local.begun[0])
                self._local.begun.popleft()
        except ConnectionError as error:
            self._close()
            if not used or isinstance(error, BusyLoadingError):
                raise
            self._receive_until(batch)  # on a new one: the server may have closed that one long ago
        except BaseException:
            self._close()  # replies that come later on this connection belong to nobody
            raise

    def _receive(self, batch: Batch) -> None:
        replies = [self._reply() for _ in range(batch.count)]
        batch.refused = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        batch.replies = replies

    def _reply(self) -> Any:
        try:
            return self._local.connection.read_response()
        except ResponseError as error:
            return error

    def _open(self) -> None:
        connection: AbstractConnection = self._pool.connection_class(**self._pool.connection_kwargs)
        self._local.connection = connection
        connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types here
        for batch in self._local.begun:
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        self._local.connection.send_packed_command([batch.packed], check_health=False)

    def _close(self) -> None:
        if self._local.connection:
            self._local.connection.disconnect()
        self._local.connection = None


class _Local(threading.local):
    """What a thread has of a raw pipeline. ``begun``: its batches without replies, the oldest first."""

    def __init__(self) -> None:
        self.begun: deque[Batch] = deque()
        self.connection: Any = None
