"""Many commands to the store in one exchange, at a third of the CPU that a pipeline of redis-py takes.

A reader of one series waits for seven small replies and one of 26 kB. A pipeline costs 144 us, this 44: commands are
packed and replies parsed by hiredis alone, on a connection that redis-py has opened, authenticated and encrypted.
Transactions are left to redis-py.
"""

import builtins
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import hiredis
from redis import Redis
from redis.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from tracker.errors import StoreError
from tracker.store.local import LocalConnection

Command = tuple[str | bytes | int | float, ...]
#: Bytes received at a time at most. More cost more: hiredis moves all it was fed that is left after each reply.
RECEIVED = 1 << 16


@dataclass(eq=False)
class Batch:
    """Commands as they are sent, and the replies once they are here; ``refused``: the first that is an error."""

    packed: bytes
    count: int
    replies: list[Any] | None = None
    refused: RedisError | None = None


class RawPipeline:
    """One connection a thread, of the kind that ``redis`` makes. For commands that may be repeated.

    ``ask`` waits for the replies. Between ``begin`` and ``finish`` the server works, and so may the caller; what others
    ask meanwhile comes after it.
    """

    _lines: ClassVar["WeakKeyDictionary[Redis, RawPipeline]"] = WeakKeyDictionary()

    @classmethod
    def of(cls, redis: Redis) -> "RawPipeline":
        """The one raw pipeline of all who work with ``redis``."""
        return cls._lines.get(redis) or cls._lines.setdefault(redis, cls(redis))

    def __init__(self, redis: Redis):
        self._pool = redis.connection_pool
        self._retry = redis.get_retry()
        self._local = _Local()

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """The reply to each command; raises StoreError."""
        return self.finish(self.begin(commands))

    def begin(self, commands: Iterable[Command]) -> Batch:
        """Sends commands; if that fails, ``finish`` does it again."""
        parts = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
        asked = Batch(b"".join(parts), len(parts))
        self._local.asked.append(asked)
        if self._local.socket:
            try:
                self._local.socket.sendall(asked.packed)
            except OSError:
                self._close()
            except BaseException:  # a time limit's, which a signal raises anywhere
                self._close()
                self._local.asked.remove(asked)
                raise
        return asked

    def finish(self, asked: Batch) -> list[Any]:
        """The reply to each command of ``asked``, of this thread; raises StoreError.

        Where it gives up, whatever else the thread has begun is given up too: sent later, it might be out of date.
        """
        try:
            if self._retry is None:
                self._receive_until(asked)
            else:
                self._retry.call_with_retry(lambda: self._receive_until(asked), lambda error: None)
        except RedisError as error:
            raise ours(error) from error
        finally:
            if asked.replies is None:
                self._local.asked.clear()
        if asked.refused:
            raise ours(asked.refused) from asked.refused
        assert asked.replies is not None
        return asked.replies

    def _receive_until(self, asked: Batch) -> None:
        """The replies to all that was asked up to ``asked``."""
        used = self._local.socket is not None
        try:
            if not self._local.socket:
                self._open()
            while asked.replies is None:
                if not self._local.asked:
                    raise ConnectionError("it was given up with what was asked before")
                replies = self._receive(self._local.asked[0].count)
                errors = [reply for reply in replies if isinstance(reply, RedisError)]
                if errors and isinstance(errors[0], ConnectionError):
                    raise errors[0]  # it is loading: as good as away
                done = self._local.asked.popleft()
                done.replies, done.refused = replies, errors[0] if errors else None
        except OSError as error:
            self._close()  # whatever else would still come on it belongs to nobody
            if isinstance(error, builtins.TimeoutError | BlockingIOError):
                raise TimeoutError("no answer in time") from error
            if not used:
                raise ConnectionError(f"the connection broke: {error!r}") from error
            self._receive_until(asked)  # on another: that one may have been closed long ago, while nobody used it
        except BaseException:
            self._close()
            raise

    def _receive(self, count: int) -> list[Any]:
        """``count`` replies; errors are among them. What comes after them is kept."""
        reader, buffer = self._local.reader, self._local.buffer
        replies: list[Any] = []
        while len(replies) < count:
            reply = reader.gets()
            if reply is False:
                reader.feed(buffer, 0, self._read(buffer))
            else:
                replies.append(reply)
        return replies

    def _read(self, room: Any) -> int:
        """Bytes that were received into ``room``."""
        received = self._local.socket.recv_into(room)
        if not received:
            raise ConnectionResetError("closed by the server")
        return received

    def _open(self) -> None:
        local = self._local
        local.connection = self._connection()
        local.connection.connect()
        local.socket = local.connection._sock
        _leave_timeouts_to_the_kernel(local.socket)
        local.reader = hiredis.Reader(replyError=DefaultParser.parse_error)
        for asked in local.asked:
            local.socket.sendall(asked.packed)

    def _connection(self) -> AbstractConnection:
        """A new one, not yet opened."""
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def _close(self) -> None:
        if self._local.connection:
            self._local.connection.disconnect()
        self._local.socket = None


class StringPipeline(RawPipeline):
    """For replies that are strings, large ones: they stay where they were received, and are not copied.

    A reply is its place in ``buffer``, empty for none, until the next ``finish`` of the thread. One exchange at a time:
    who begins another gives up the one before.
    """

    @property
    def buffer(self) -> bytearray:
        """This thread's."""
        return self._local.buffer

    def begin(self, commands: Iterable[Command]) -> Batch:
        if self._local.asked:
            self._local.asked.clear()
            self._close()
        return super().begin(commands)

    def _connection(self) -> AbstractConnection:
        """By TCP, which has room for more that is under way than a Unix socket has."""
        connection = super()._connection()
        if isinstance(connection, LocalConnection):
            connection.local = None
        return connection

    def _receive(self, count: int) -> list[Any]:
        buffer = self.buffer
        replies: list[Any] = []
        at = end = 0  # of the reply, of what was received
        while len(replies) < count:
            if end == len(buffer):
                buffer = self._local.buffer = buffer + bytes(len(buffer))
            end += self._read(memoryview(buffer)[end:])
            while (line := buffer.find(b"\r\n", at, end)) >= 0:
                kind, rest, start = buffer[at : at + 1], buffer[at + 1 : line], line + 2
                if kind == b"$" and (size := int(rest)) >= 0:
                    if start + size + 2 > end:
                        break
                    replies.append(slice(start, start + size))
                    at = start + size + 2
                else:  # an error, or none: "$-1" and "_"
                    replies.append(DefaultParser.parse_error(rest.decode()) if kind == b"-" else slice(0, 0))
                    at = start
        return replies


class _Local(threading.local):
    """What a thread has of a raw pipeline."""

    def __init__(self) -> None:
        self.asked: deque[Batch] = deque()
        self.connection: Any = None
        self.socket: Any = None
        self.reader: Any = None
        self.buffer = bytearray(RECEIVED)


def _leave_timeouts_to_the_kernel(opened: socket.socket) -> None:
    """From then on a call that takes too long raises BlockingIOError. Python's own way is to poll before every call.

    TLS is left as it is: behind one of its calls there are several, or none.
    """
    timeout = opened.gettimeout()
    if timeout and type(opened) is socket.socket:
        timeval = struct.pack("@ll", int(timeout), int(timeout % 1 * 1e6))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        opened.settimeout(None)


def ours(error: RedisError) -> StoreError:
    """A foreign error as ours."""
    return StoreError(f"the store does not answer as it should: {str(error).rstrip('.')}")
