"""Reads from replicas of the store. An answer may be a moment old, and is never older than one before it.

A replica lags: by a millisecond, or by hours if its link is down. So its position goes with each exchange, and the
replies count only if it has all that this process has read before and all that the master had a minute ago. Else it
gets some milliseconds, and then the master is asked, whose replies always count. After a failover that lost writes, the
store itself goes back.

A thread looks at all replicas every second, and chooses one that is fit for all threads of the process. One that lags,
is cut off or does not answer is left alone, and the log says so once. Then another is read, or the master.

The version of the lists ({dt1}:version) would tell the order of evaluations. The position also covers samples, alerts
and sources. It needs nothing in the data, and tells the lag.
"""

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis import Redis

from tracker.errors import StoreError
from tracker.redis_address import parse
from tracker.store.connection import connect, replicas_of
from tracker.store.pipelines import pipeline, use
from tracker.store.position import ASK, LATEST, Position, Seen, position
from tracker.store.raw import Command, RawPipeline

log = logging.getLogger(__name__)

#: Seconds for a replica to answer. Then the master is asked, which needs time too.
PATIENCE = 0.5
#: Pauses in seconds in which a replica may get what it lacks. Asking the master at once would not end while writes go
#: on: each reply of the master takes what was read further ahead.
PAUSES = (0.001, 0.004, 0.016)
#: Seconds between two looks at the replicas.
EVERY = 1.0
#: Reasons why a replica is left alone.
NEW, SILENT, UNNAMED = "it was not asked yet", "it does not answer", "the sentinels do not name it as a replica"
BEHIND = "it lacks what was read before"


class Reads(NamedTuple):
    """Where this process reads. ``lag``: seconds that the replica in use is behind; None: none is in use.

    ``reason``: why no replica is in use; ``master``: whether the master answered lately.
    """

    lag: float | None
    reason: str
    master: bool


@dataclass(eq=False)
class Replica:
    """``reason``: why it is left alone, empty if it is fit. ``lag``: seconds that it was behind at the last look."""

    name: str
    raw: RawPipeline
    reason: str = NEW
    lag: float = 0.0


class Replicas:
    """The replicas of ``master``, and which of them is read. ``urls``: names them, as ``replicas_of`` does."""

    def __init__(self, master: RawPipeline, urls: Callable[[], list[str]]):
        self.seen = Seen()
        self._master, self._urls = master, urls
        self._known: dict[str, Replica] = {}
        self._chosen: Replica | None = None
        self._master_answers = False
        self._lock = threading.Lock()

    @property
    def chosen(self) -> Replica | None:
        """The replica to read from; None: read from the master."""
        return self._chosen

    @property
    def reads(self) -> Reads:
        chosen, known = self._chosen, [*self._known.values()]
        if chosen:
            return Reads(round(chosen.lag, 1), "", self._master_answers)
        reason = known[0].reason or BEHIND if known else "the sentinels name no replica"
        return Reads(None, reason, self._master_answers)

    def catch_up(self) -> None:
        """From now on, all that is read has what the master has now. Call this after a write."""
        with suppress(StoreError):
            self.seen.of_master(self._position(self._master))

    def watch(self) -> None:
        """Looks at the replicas now, and then in a thread as long as this object lives."""
        self.look()
        threading.Thread(target=_keep_looking, args=(weakref.ref(self),), name="replicas", daemon=True).start()

    def look(self) -> None:
        """Asks the master and all replicas where they are, and chooses a replica."""
        try:
            self.seen.note(self._position(self._master), time.monotonic())
            self._master_answers = True
        except StoreError:
            self._master_answers = False
        self.seen.forget(time.monotonic())
        urls = self._urls() or list(self._known)  # while no sentinel answers, those that are known
        self._known = self._known | {url: _replica(url) for url in urls if url not in self._known}
        for url, replica in self._known.items():
            try:
                if url in urls:
                    self._judge(replica, self._position(replica.raw))
                else:
                    self.leave(replica, UNNAMED)
            except StoreError as error:
                self.leave(replica, SILENT, str(error))
        self._choose()

    def leave(self, replica: Replica, reason: str, detail: str = "") -> None:
        """Leaves ``replica`` alone until the next look finds it fit."""
        with self._lock:
            if replica.reason in ("", NEW):
                log.warning("the replica %s is left alone: %s%s", replica.name, reason, detail and f": {detail}")
            replica.reason = reason
        self._choose()

    def rest(self) -> None:
        """Reads from the master until the next look: the chosen replica is behind."""
        with self._lock:
            self._chosen = None

    def _judge(self, replica: Replica, at: Position) -> None:
        least = self.seen.least
        replica.lag = self.seen.lag(at, time.monotonic())
        if least is None:
            self.leave(replica, "the master has not answered yet")
        elif at.stream != least.stream:
            self.leave(replica, "it does not follow the master")
        elif at.cut > LATEST:
            self.leave(replica, f"its link to the master is down for {at.cut} s")
        elif replica.lag > LATEST:
            self.leave(replica, f"it is {replica.lag:.0f} s behind the master")
        elif replica.reason:
            if replica.reason != NEW:
                log.warning("the replica %s is used again", replica.name)
            replica.reason = ""

    def _choose(self) -> None:
        with self._lock:
            fit = [replica for replica in self._known.values() if not replica.reason]
            if self._chosen not in fit:
                self._chosen = random.choice(fit) if fit else None  # each process its own

    def _position(self, raw: RawPipeline) -> Position:
        return position(raw.ask([ASK])[0])


@dataclass(eq=False)
class Reading:
    """Commands, and where they were sent. ``least``: what a replica must have so that its replies count."""

    commands: list[Command]
    replica: Replica | None
    least: Position | None
    batch: Any = field(repr=False)


class ReadingPipeline:
    """Asks a replica, or the master. Only send commands that read."""

    def __init__(self, master: RawPipeline, replicas: Replicas):
        self.replicas = replicas
        self._master, self._seen = master, replicas.seen

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """The reply to each command; raises StoreError."""
        return self.finish(self.begin(commands))

    def ask_in_turn(self, first: Iterable[Command], then: Iterable[Command]) -> list[Any]:
        """The replies to ``first`` and ``then``. The server does ``then`` after ``first``."""
        return self.ask([*first, *then])

    def begin(self, commands: Iterable[Command]) -> Reading:
        """Sends commands. ``finish`` sends them again if that fails, or to the master if the replica is behind."""
        asked, replica, least = [ASK, *commands], self.replicas.chosen, self._seen.least
        return Reading(asked, replica, least, (replica.raw if replica else self._master).begin(asked))

    def finish(self, reading: Reading) -> list[Any]:
        """The reply to each command of ``reading``, which this thread has begun; raises StoreError."""
        batch = reading.batch
        if reading.replica:
            replies = self._of_replica(reading, reading.replica)
            if replies is not None:
                return replies
            batch = self._master.begin(reading.commands)
        told, *replies = self._master.finish(batch)
        self._seen.of_master(position(told))
        return replies

    def _of_replica(self, reading: Reading, replica: Replica) -> list[Any] | None:
        """The replies of the replica, or None if they do not count."""
        try:
            told, *replies = replica.raw.finish(reading.batch)
            for pause in PAUSES:
                if self._seen.of_replica(position(told), reading.least):
                    return replies
                time.sleep(pause)
                told, *replies = replica.raw.ask(reading.commands)
            if self._seen.of_replica(position(told), reading.least):
                return replies
            self.replicas.rest()
        except StoreError as error:
            self.replicas.leave(replica, SILENT, str(error))
        return None


def reader(master: Redis, url: str) -> Redis:
    """A client of ``master`` whose pipeline, see pipelines.py, reads from the replicas at ``url``.

    Whatever else is done with it goes to the master. Raises StoreError for an unknown option in the URL.
    """
    client = Redis(connection_pool=master.connection_pool)
    raw = RawPipeline(master)
    replicas = Replicas(raw, replicas_of(url, PATIENCE))
    replicas.watch()
    use(client, ReadingPipeline(raw, replicas))
    return client


def replicas_behind(redis: Redis) -> Replicas | None:
    """The replicas that ``redis`` reads from; None if it reads from the master alone."""
    found = pipeline(redis)
    return found.replicas if isinstance(found, ReadingPipeline) else None


def _replica(url: str) -> Replica:
    return Replica(parse(url).shown, RawPipeline(connect(url, tries=1, patience=PATIENCE)))


def _keep_looking(of: "weakref.ref[Replicas]") -> None:
    while replicas := of():
        replicas.look()
        del replicas
        time.sleep(EVERY)
