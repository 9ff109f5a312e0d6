"""Alerts in Redis: recorded once, together with their rows of the outbox, before anything is sent.

``{dt1}:alert:{id}`` hash, the alert, its rule at that time, the ids of its rows; ``{dt1}:alerts`` stream of ids, as
recorded; ``{dt1}:fired:{rule}:{metric}`` string, the slot of the metric's last alert and a token of its writer;
``{dt1}:firing`` hash, ``{rule}:{metric}`` -> slot of the alert that is not resolved yet; ``{dt1}:over`` set, ids of
alerts that a later one has replaced there, and that are to be resolved.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from secrets import token_hex
from types import MappingProxyType
from typing import Any

from redis import Redis

from tracker.alerts import plan
from tracker.alerts.deliveries import LIFE, Deliveries
from tracker.alerts.silences import QuietAt, Silences
from tracker.clock import wall
from tracker.models import FIRING, RESOLVED, Alert, Delivery
from tracker.store.connection import PREFIX, transact, translated
from tracker.store.layout import ALERTS
from tracker.store.pipelines import pipeline

#: At most so many alerts are kept, for LIFE at most.
KEPT = 10_000
#: Most characters of the name and of the comment in an acknowledgement.
LONGEST_NAME, LONGEST_COMMENT = 100, 1_000
#: ``walk`` reads so many alerts at a time.
PAGE = 200
FIRING_NOW = f"{PREFIX}:firing"
OVER = f"{PREFIX}:over"


class Outbox:
    """The recorded alerts; ``deliveries``: their rows; ``silences``: see there. Every method may raise StoreError."""

    def __init__(self, redis: Redis, now: Callable[[], float] = wall, quiet: QuietAt = lambda now: ()):
        self.redis: Any = redis  # as in Store
        self.deliveries = Deliveries(redis, now)
        self.silences = Silences(redis, quiet)
        self._raw = pipeline(redis)

    def record(
        self, alert: Alert, cooldown: int, channels: Sequence[str] = (), definition: Mapping[str, Any] | None = None,
        before: str = "",
    ) -> bool:  # fmt: skip
        """Stores ``alert`` with a row for each of ``channels``, and the ``definition`` of its rule.

        ``before``: the id of the metric's alert that is over by that; ``replaced`` names it until it is resolved. False
        if it is stored already or its metric had one within ``cooldown`` seconds. Checked and written in one
        transaction per (rule, metric), so two evaluations at once make one alert.
        """
        fired = fired_key(alert)
        mine = f"{alert.slot}:{token_hex(8)}"
        rows = plan.rows(alert.id, channels, definition or {})

        def work(pipe: Any) -> bool:  # again if another evaluation of the metric was faster, or the connection broke
            last = pipe.get(fired)
            if last == mine.encode():
                return True  # written by the try before, and only its answer was lost
            if alert.slot - slot_of(last) < max(cooldown, 1):
                return False
            pipe.multi()
            pipe.set(fired, mine, ex=max(cooldown, LIFE))
            self.add(pipe, alert, rows, definition or {}, before)
            return True

        return transact(self.redis, work, fired)

    def add(
        self, pipe: Any, alert: Alert, rows: Sequence[Delivery], definition: Mapping[str, Any], before: str = "",
        digests: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        """Adds ``alert`` with its ``rows`` to the transaction ``pipe``; ``before`` as in ``record``.

        ``digests``: channel -> row of the digest that tells a late alert.
        """
        known = asdict(alert) | {"definition": definition, "rows": [row.id for row in rows], "digests": dict(digests)}
        pipe.hset(_alert_key(alert.id), mapping=_encoded(known))
        pipe.expire(_alert_key(alert.id), LIFE)
        pipe.hset(FIRING_NOW, f"{alert.rule}:{alert.metric}", alert.slot)
        pipe.xadd(ALERTS, {"id": alert.id}, maxlen=KEPT, approximate=True)
        if before:
            pipe.sadd(OVER, before)
        for row in rows:
            self.deliveries.add(pipe, row)

    def firing(self) -> dict[str, int]:
        """The alerts that are not resolved: ``rule:metric`` -> slot."""
        [firing] = self._raw.ask([("HGETALL", FIRING_NOW)])
        return {subject.decode(): int(slot) for subject, slot in firing.items()}

    def replaced(self) -> list[str]:
        """The ids of alerts that are over, and not resolved yet: a worker died in between."""
        with translated():
            return sorted(id.decode() for id in self.redis.smembers(OVER))

    def forget(self, subjects: Sequence[str]) -> None:
        """Removes these ``rule:metric`` from the firing ones. Their alerts stay as they are."""
        with translated():
            if subjects:
                self.redis.hdel(FIRING_NOW, *subjects)

    def resolve(self, id: str, at: float, channels: Collection[str] = ()) -> list[str]:
        """Ends an alert, once: returns the ids of the rows to look at now, those of its resolved notices first.

        ``channels``: those that want one. They get it if the alert has a notice for them. ``at``: Unix seconds of the
        evaluation that found it clear.
        """

        def work(pipe: Any) -> list[str]:
            stored = _decoded(pipe.hgetall(_alert_key(id)))
            subject, _, slot = id.rpartition(":")
            newest = pipe.hget(FIRING_NOW, subject) == slot.encode()
            rows = [Delivery(id, each, RESOLVED) for each in self._told(pipe, stored) if each in channels]
            pipe.multi()
            pipe.srem(OVER, id)
            if newest:
                pipe.hdel(FIRING_NOW, subject)
            if not stored or stored["state"] != FIRING:
                return []
            known = {"state": RESOLVED, "resolved_at": at, "rows": stored["rows"] + [row.id for row in rows]}
            pipe.hset(_alert_key(id), mapping=_encoded(known))
            for row in rows:
                self.deliveries.add(pipe, row)
            waiting = plan.waiting(id, stored["rows"], stored["definition"])
            for row_id in waiting:
                self.deliveries.hasten(pipe, row_id)  # it ends, since the alert is over
            return [*(row.id for row in rows), *waiting]

        return transact(self.redis, work, _alert_key(id), FIRING_NOW)

    def _told(self, pipe: Any, stored: Mapping[str, Any]) -> list[str]:
        """The channels of an alert's firing notices. A digest of late alerts that is not sent yet will tell the end."""
        told = [row.split("/")[1] for row in stored.get("rows", ()) if row.endswith(f"/{FIRING}")]
        digests = stored.get("digests", {})
        return [each for each in told if each not in digests or self.deliveries.was_claimed(pipe, digests[each])]

    def acknowledge(self, id: str, by: str, comment: str, at: float) -> bool:
        """Notes that the person ``by`` has taken the alert on; False if the alert is not stored."""
        return self._note(id, {"by": by, "at": at, "comment": comment})

    def take_back(self, id: str) -> bool:
        """Ends the acknowledgement of the alert, if it has one; False if the alert is not stored."""
        return self._note(id, None)

    def _note(self, id: str, acknowledged: dict[str, Any] | None) -> bool:
        def work(pipe: Any) -> bool:
            there = pipe.exists(_alert_key(id))
            pipe.multi()
            if there:
                pipe.hset(_alert_key(id), mapping=_encoded({"acknowledged": acknowledged}))
            return bool(there)

        return transact(self.redis, work, _alert_key(id))

    def get(self, id: str) -> Alert | None:
        """The alert of that id, or None if it is not stored."""
        with translated():
            return _alert(self.redis.hgetall(_alert_key(id)))

    def explained(self, id: str) -> tuple[Alert, dict[str, Any], list[Delivery]] | None:
        """An alert, its rule at that time, and its rows; None if the alert is not stored."""
        with translated():
            stored = self.redis.hgetall(_alert_key(id))
        alert, known = _alert(stored), _decoded(stored)
        return (alert, known["definition"], self.deliveries.all(known["rows"])) if alert else None

    def newest(self, count: int = 100) -> list[Alert]:
        """The ``count`` newest alerts, the last recorded one first."""
        return [alert for _, alert in zip(range(count), (alert for _, alert in self.walk()), strict=False)]

    def walk(self, before: str = "") -> Iterator[tuple[str, Alert]]:
        """Yields (place, alert), the last recorded one first, from behind the place ``before``.

        A place is ``MILLISECONDS-NUMBER`` by the store's clock, and never goes back. ``at`` may go back: it is by the
        clock of the worker that found the alert, some seconds before the alert is recorded.
        """
        last = f"({before}" if before else "+"
        while True:
            [entries] = self._raw.ask([("XREVRANGE", ALERTS, last, "-", "COUNT", PAGE)])
            found = self._raw.ask([("HGETALL", _alert_key(id.decode())) for _, [_, id] in entries])
            for (position, _), stored in zip(entries, found, strict=True):
                if alert := _alert(stored):
                    yield position.decode(), alert
            if len(entries) < PAGE:
                return
            last = f"({entries[-1][0].decode()}"


def fired_key(alert: Alert) -> str:
    return f"{PREFIX}:fired:{alert.rule}:{alert.metric}"


def slot_of(fired: bytes | None) -> int:
    """The slot in the value of a ``fired`` key; 0 if there is none."""
    return int(fired.partition(b":")[0]) if fired else 0


def _alert_key(id: str) -> str:
    return f"{PREFIX}:alert:{id}"


def _encoded(known: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in known.items()}


def _decoded(stored: dict[bytes, bytes]) -> dict[str, Any]:
    return {name.decode(): json.loads(value) for name, value in stored.items()}


def _alert(stored: dict[bytes, bytes]) -> Alert | None:
    known = _decoded(stored)
    if "rule" not in known:
        return None
    return Alert(**{each.name: known[each.name] for each in fields(Alert) if each.name in known})
