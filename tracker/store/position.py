"""How much of the master's writes a server has, and how much of them this process has seen.

A master sends its writes to its replicas as one stream of bytes. ``INFO replication`` tells which stream a server
follows (each new master begins a stream of its own) and how many bytes of it are in its data. So two positions say
which of two servers is ahead, whatever was written.
"""

import re
import threading
from collections import deque
from typing import NamedTuple

from tracker.errors import StoreError
from tracker.store.raw import Command

#: ``position`` parses its reply. Both cost the client 5 us and the server 3 us of CPU.
ASK: Command = ("INFO", "replication")
#: Seconds that a replica may be behind the master, and that its link to the master may be down.
LATEST = 60
#: Seconds that stand for a link that was never up.
NEVER = 10**9
TOLD = re.compile(rb"master_replid:(\S+).*?master_repl_offset:(\d+)", re.DOTALL)
CUT = re.compile(rb"master_link_status:down.*?master_link_down_since_seconds:(-?\d+)", re.DOTALL)


class Position(NamedTuple):
    """``stream``: its id; ``offset``: bytes of it; ``cut``: seconds since the link to the master is down, else 0."""

    stream: bytes
    offset: int
    cut: int


def position(info: bytes) -> Position:
    """The position that a server's reply to ASK tells. Raises StoreError if it tells none."""
    told, cut = TOLD.search(info), CUT.search(info)
    if not told:
        raise StoreError("it does not tell its position in the replication stream")
    seconds = int(cut[1]) if cut else 0
    return Position(told[1], int(told[2]), seconds if seconds >= 0 else NEVER)  # -1: it was never linked


class Seen:
    """What this process has read up to, and where the master was in the last LATEST seconds. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._least: Position | None = None
        self._left: set[bytes] = set()
        self._notes: deque[tuple[float, int]] = deque()  # when, by time.monotonic, and the master's offset then

    @property
    def least(self) -> Position | None:
        """What a server must have to be read from. None if the master has not answered yet."""
        return self._least

    def of_master(self, at: Position) -> None:
        """Something was read from the master. It counts even if it has less than was read before."""
        with self._lock:
            self._follow(at)
            self._raise(at)

    def of_replica(self, at: Position, least: Position | None) -> bool:
        """Something was read from a replica: whether it counts. ``least``: what was the least before it was asked."""
        if least is None or at.stream != least.stream or at.offset < least.offset or at.cut > LATEST:
            return False
        with self._lock:
            self._raise(at)
        return True

    def note(self, at: Position, now: float) -> None:
        """Notes where the master is ``now``, although nothing was read."""
        with self._lock:
            self._follow(at)
            if self._least and at.stream == self._least.stream:
                self._notes.append((now, at.offset))

    def forget(self, now: float) -> None:
        """From now on, a server must have what the master had LATEST seconds ago."""
        with self._lock:
            while len(self._notes) > 1 and now - self._notes[1][0] >= LATEST:
                self._notes.popleft()
            if self._least and self._notes and now - self._notes[0][0] >= LATEST:
                self._raise(self._least._replace(offset=self._notes[0][1]))

    def lag(self, at: Position, now: float) -> float:
        """How many seconds ago the master had no more than the server ``at``; 0 if it has all that was noted."""
        with self._lock:
            return next((now - when for when, offset in self._notes if offset > at.offset), 0.0)

    def _follow(self, at: Position) -> None:
        """Turns to the stream of a new master. A late reply of the previous master does not bring its stream back."""
        if self._least is None or (at.stream != self._least.stream and at.stream not in self._left):
            if self._least:
                self._left.add(self._least.stream)
            self._notes.clear()
            self._least = at

    def _raise(self, at: Position) -> None:
        if self._least and at.stream == self._least.stream and at.offset > self._least.offset:
            self._least = at
