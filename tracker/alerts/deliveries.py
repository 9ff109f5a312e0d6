"""The outbox's rows in Redis: one for each notice and channel, from pending to delivered, dead, digested or silenced.

``{dt1}:delivery:{id}`` hash, a row; ``{dt1}:due`` sorted set, ids of pending rows by the time of the next look at them;
``{dt1}:dead`` sorted set, ids of dead rows by their time of death; ``{dt1}:sent:{channel}:{bucket}`` string, attempts
in a ceiling's window; ``{dt1}:digest:{id}`` set, the rows in a digest. {id} is ``alert/channel/event``. held.py has
the rows that silences hold back, waiting.py those that failed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from secrets import token_hex
from typing import Any, TypeVar

from redis import Redis

from tracker.alerts import rows
from tracker.alerts.held import Held
from tracker.alerts.rows import Stored
from tracker.alerts.waiting import PROBE, Waiting
from tracker.models import DIGEST, FIRING, REMINDER, RESOLVED, Attempt, Delivery
from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, transact, translated
from tracker.store.layout import DUE

#: Alerts and their rows are kept for so many seconds.
LIFE = 7 * DAY
#: A published task must claim its row within so many seconds. Then it counts as lost, and another is published.
GRACE = 15
DIED = "its worker died in the midst of it, or took too long"
#: A row is dead so many seconds after its first failure.
GIVE_UP = 6 * 3_600

DEAD = f"{PREFIX}:dead"
T = TypeVar("T")
Read = Callable[[Any], Any]


class Deliveries:
    """The rows of the outbox. Times are Unix seconds of ``now``. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float]):
        self.redis: Any = redis  # as in Store
        self.now = now
        self.waiting = Waiting(redis, now)
        self.held = Held(redis, now)

    def add(self, pipe: Any, row: Delivery, after: float = 0) -> None:
        """Adds ``row`` to the transaction ``pipe``. It is sent just after that, after its wait, or at ``after``."""
        if row.wait:
            pipe.hset(rows.key(row.id), "wait", row.wait)
            after = self.now() + row.wait
        new = {"state": "pending", "tries": 0, "attempts": "[]", "after": after, "made": max(after, self.now())}
        pipe.hset(rows.key(row.id), mapping=new)
        pipe.expire(rows.key(row.id), LIFE)
        pipe.zadd(DUE, {row.id: after or self.now() + GRACE})

    def hasten(self, pipe: Any, id: str) -> None:
        """Adds to the transaction ``pipe``: the row waits no longer."""
        pipe.hset(rows.key(id), "after", 0)
        pipe.expire(rows.key(id), LIFE)
        pipe.zadd(DUE, {id: self.now()})

    def get(self, id: str) -> Delivery | None:
        """The row of that id, or None if it is not stored."""
        return next(iter(self.all([id])), None)

    def all(self, ids: Sequence[str]) -> list[Delivery]:
        """The stored rows of ``ids``."""
        with translated():
            pipe = self.redis.pipeline(transaction=False)
            for id in ids:
                pipe.hgetall(rows.key(id))
                pipe.zscore(DUE, id)
            found = pipe.execute()
        return [
            rows.read(id, stored, due) for id, stored, due in zip(ids, found[::2], found[1::2], strict=True) if stored
        ]

    def claim(self, id: str, lease: float) -> tuple[Delivery, str] | None:
        """The row and a token that allows to send it now; None if it is settled, not due, or claimed by another task.

        A claim ends after ``lease`` seconds, since its task may have died. An ended claim counts as a failed try.
        A silenced row can be claimed too: it is returned as it was, and is pending from then on.
        """
        token = token_hex(8)
        claimed: list[Delivery] = []

        def change(pipe: Any, stored: Stored) -> tuple[Delivery, str] | None:
            if rows.text(stored, "claimant") == token:
                return claimed[-1], token  # by the try before, and only its answer was lost
            settled = rows.text(stored, "state") not in ("pending", "silenced")
            if settled:
                pipe.zrem(DUE, id)
            if settled or self.now() < max(rows.moment(stored, "after"), rows.moment(stored, "until")):
                return None
            row = rows.read(id, stored)
            if rows.text(stored, "claimant"):
                died = Attempt(self.now(), False, None, DIED)
                row = replace(row, tries=row.tries + 1, attempts=rows.newest(row.attempts, died))
            until = self.now() + lease
            pipe.hset(rows.key(id), mapping={"state": "pending", "claimant": token, "until": until, **rows.known(row)})
            pipe.zadd(DUE, {id: until})
            self.waiting.remove(pipe, id)
            claimed.append(row)
            return row, token

        return self._change([rows.key(id)], change)

    def settle(self, row: Delivery, state: str, attempt: Attempt) -> None:
        """Ends the work on ``row``. A delivered row stays delivered, even if another task has claimed it meanwhile."""

        def change(pipe: Any, stored: Stored) -> None:
            if not stored:
                return  # a week old
            known = rows.read(row.id, stored)
            if known.state == "pending" or (known.state in ("dead", "silenced") and state == "delivered"):
                self._settle(pipe, known, state, attempt)

        self._change([rows.key(row.id)], change)

    def repeat(self, row: Delivery, token: str, attempt: Attempt) -> None:
        """Notes that the reminder ``row`` was sent. It is due again after its wait."""

        def change(pipe: Any, stored: Stored) -> None:
            if rows.text(stored, "claimant") == token:  # else another goes on from here, or this is done already
                self._repeat(pipe, row, attempt)

        self._change([rows.key(row.id)], change)

    def put_off(self, row: Delivery, token: str, after: float) -> None:
        """Leaves ``row`` pending until ``after``; then it is looked at again."""

        def change(pipe: Any, stored: Stored) -> None:
            if rows.text(stored, "claimant") == token:  # as in repeat
                self._wait(pipe, row, after, **({"made": after} if row.wait else {}))

        self._change([rows.key(row.id)], change)

    def fail(self, row: Delivery, token: str, attempt: Attempt, wait: float, asked: float = 0) -> bool:
        """Notes a failed try: ``row`` is tried again after ``wait`` seconds. False: it is dead instead.

        asked: the receiver asked for a pause of so many seconds; a success on the channel wakes the row no sooner.
        """

        def change(pipe: Any, stored: Stored) -> bool:
            if rows.text(stored, "claimant") != token:
                return True  # as in repeat
            now = self.now()
            since = rows.moment(stored, "since") or now
            if now + wait - since > GIVE_UP:
                self._settle(pipe, row, "dead", attempt)
                return False
            tried = replace(row, tries=row.tries + 1, attempts=rows.newest(row.attempts, attempt))
            self._wait(pipe, tried, now + wait, since=since, earliest=now + max(asked, PROBE))
            self.waiting.add(pipe, row.id, now + wait, LIFE)
            return True

        return self._change([rows.key(row.id)], change)

    def wake(self, row: Delivery, most: int) -> None:
        """Makes up to ``most`` failed rows due at once, of the channel of ``row``."""

        def change(id: str, pipe: Any, stored: Stored) -> None:
            after = max(self.now(), rows.moment(stored, "earliest"))
            waits = rows.text(stored, "state") == "pending" and not rows.text(stored, "claimant")
            if waits and after < rows.moment(stored, "after"):
                pipe.hset(rows.key(id), "after", after)
                pipe.zadd(DUE, {id: after})

        for id in self.waiting.pop(row.id, most):
            self._change([rows.key(id)], partial(change, id))

    def hold(self, row: Delivery, token: str, silence: str, why: str) -> None:
        """Marks ``row`` as silenced until ``held.release`` makes it due again."""

        def change(pipe: Any, stored: Stored) -> None:
            if rows.text(stored, "claimant") != token:
                return  # as in repeat
            self._settle(pipe, row, "silenced", Attempt(self.now(), True, None, why))
            self.held.add(pipe, row, silence, LIFE)

        self._change([rows.key(row.id)], change)

    def due(self, count: int) -> list[str]:
        """Up to ``count`` ids of rows to publish now: their next try is due, or their task was lost.

        None of them is due again for GRACE seconds, in which the new task can claim it.
        """
        with translated():
            ids = [id.decode() for id in self.redis.zrangebyscore(DUE, 0, self.now(), start=0, num=count)]
            if not ids:
                return []
            pipe = self.redis.pipeline(transaction=False)
            for id in ids:
                pipe.exists(rows.key(id))
            there = dict(zip(ids, pipe.execute(), strict=True))
            if gone := [id for id in ids if not there[id]]:  # a week old
                self.redis.zrem(DUE, *gone)
            self.redis.zadd(DUE, dict.fromkeys(ids, self.now() + GRACE), xx=True)
        return [id for id in ids if there[id]]

    def pending(self, count: int = 1_000) -> list[Delivery]:
        """Up to ``count`` pending rows, in the order of the next look at them."""
        with translated():
            ids = [id.decode() for id in self.redis.zrange(DUE, 0, count - 1)]
        return [row for row in self.all(ids) if row.state == "pending"]

    def oldest_pending(self, count: int = 1_000) -> float | None:
        """When the oldest of the next ``count`` pending rows was made (Unix s); None without any."""
        with translated():
            pipe = self.redis.pipeline(transaction=False)
            for id in self.redis.zrange(DUE, 0, count - 1):
                pipe.hget(rows.key(id.decode()), "made")
            return min((float(made) for made in pipe.execute() if made), default=None)

    def dead(self, count: int = 1_000) -> list[Delivery]:
        """The ``count`` newest dead rows, newest first."""
        with translated():
            self.redis.zremrangebyscore(DEAD, 0, self.now() - LIFE)
            ids = [id.decode() for id in self.redis.zrevrange(DEAD, 0, count - 1)]
        return [row for row in self.all(ids) if row.state == "dead"]

    def redrive(self, ids: Sequence[str] | None = None, channel: str | None = None) -> list[str]:
        """Makes dead rows pending and due again, with no tries; returns their ids.

        ``ids`` and ``channel`` limit the rows. A resolved notice that was left out, because its firing notice was
        never sent, is looked at again after the firing one.
        """
        if ids is None:
            ids = [row.id for row in self.dead()]

        def change(id: str, pipe: Any, stored: Stored) -> bool:
            if rows.text(stored, "state") != "dead":
                return False
            pipe.hset(rows.key(id), mapping={"state": "pending", "tries": 0, "after": 0, "until": 0})
            pipe.zrem(DEAD, id)
            pipe.zadd(DUE, {id: self.now()})
            if id.endswith(f"/{FIRING}"):
                pipe.zadd(DUE, {id.removesuffix(FIRING) + RESOLVED: self.now()})
            return True

        wanted = [id for id in ids if channel in (None, *id.split("/")[1:2])]
        return [id for id in wanted if self._change([rows.key(id)], partial(change, id))]

    def above(self, channel: str, ceiling: int, window: int) -> bool:
        """Counts a try on ``channel``; True if this ``window`` of seconds has more than ``ceiling`` of them."""
        key = f"{PREFIX}:sent:{channel}:{self._bucket(window)}"
        with translated():
            pipe = self.redis.pipeline(transaction=False)
            pipe.incr(key)
            pipe.expire(key, 2 * window)
            return bool(pipe.execute()[0] > ceiling)

    def digest(self, row: Delivery, token: str, window: int) -> None:
        """Puts ``row`` into the digest at this ``window``'s end, or into the next one if that was ever claimed."""
        bucket = self._bucket(window)
        while not self._join(row, token, Delivery(f"digest:{bucket}", row.channel, DIGEST), bucket + window):
            bucket += window

    def put_into(self, pipe: Any, row: Delivery, digest: Delivery, why: str) -> None:
        """Adds to the transaction ``pipe``: ``digest`` tells ``row``."""
        pipe.sadd(rows.members_key(digest.id), row.id)
        pipe.expire(rows.members_key(digest.id), LIFE)
        told = Attempt(self.now(), True, None, f"{why}: {digest.id} tells it")
        if row.event == REMINDER:
            self._repeat(pipe, row, told)
        else:
            self._settle(pipe, row, "digested", told)

    def was_claimed(self, pipe: Any, id: str) -> bool:
        """Whether the row was ever claimed; the transaction ``pipe`` fails if that changes before it ends."""
        pipe.watch(rows.key(id))
        return bool(pipe.hexists(rows.key(id), "claimant"))

    def digested(self, digest: Delivery) -> list[Delivery]:
        """The rows in ``digest``, by id."""
        with translated():
            ids = sorted(id.decode() for id in self.redis.smembers(rows.members_key(digest.id)))
        return self.all(ids)

    def _bucket(self, window: int) -> int:
        return int(self.now() // window * window)

    def _join(self, row: Delivery, token: str, digest: Delivery, after: float) -> bool:
        def change(pipe: Any, stored: tuple[Stored, Stored]) -> bool:
            there, known = stored
            if rows.text(known, "claimant") != token:
                return True  # as in repeat
            if b"claimant" in there:
                return False
            if not there:
                self.add(pipe, digest, after)
            self.put_into(pipe, row, digest, f"above the ceiling of {row.channel}")
            return True

        keys = rows.key(digest.id), rows.key(row.id)
        return self._change(keys, change, lambda pipe: tuple(map(pipe.hgetall, keys)))

    def _repeat(self, pipe: Any, row: Delivery, attempt: Attempt) -> None:
        again, after = replace(row, tries=0, attempts=rows.newest(row.attempts, attempt)), self.now() + row.wait
        self._wait(pipe, again, after, since=0, earliest=0, number=row.number + 1, made=after)

    def _wait(self, pipe: Any, row: Delivery, after: float, **more: float) -> None:
        pipe.hset(rows.key(row.id), mapping={"claimant": "", "until": 0, "after": after} | more | rows.known(row))
        pipe.zadd(DUE, {row.id: after})

    def _settle(self, pipe: Any, row: Delivery, state: str, attempt: Attempt) -> None:
        settled = replace(row, attempts=rows.newest(row.attempts, attempt))
        pipe.hset(
            rows.key(row.id), mapping={"state": state, "claimant": "", "until": 0, "since": 0, **rows.known(settled)}
        )
        pipe.zrem(DUE, row.id)
        pipe.zrem(DEAD, row.id)
        if state == "dead":
            pipe.zadd(DEAD, {row.id: self.now()})

    def _change(self, keys: Sequence[str], change: Callable[[Any, Any], T], read: Read | None = None) -> T:
        """``transact``: ``change`` gets a pipeline and the hash at the first of ``keys``, or what ``read`` gives."""

        def work(pipe: Any) -> T:
            stored = read(pipe) if read else pipe.hgetall(keys[0])
            pipe.multi()
            return change(pipe, stored)

        return transact(self.redis, work, *keys)
