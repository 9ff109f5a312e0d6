"""Alerts in Redis: recorded once, before anything is sent.

``dt1:alert:{id}`` hash, the alert; ``dt1:alerts`` stream of ids, newest last;
``dt1:fired:{rule}:{metric}`` string, the slot of the metric's last alert and a token of who wrote it.
"""

from dataclasses import asdict, fields
from secrets import token_hex
from typing import Any

from redis import Redis, WatchError

from tracker.models import Alert
from tracker.ring import DAY
from tracker.store import PREFIX, translated

#: Alerts kept: at most this many, and at most a week.
KEPT = 10_000
ALERT_LIFE = 7 * DAY


class Outbox:
    """The alerts that were decided. Every method may raise StoreError."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis  # as in Store

    def record(self, alert: Alert, cooldown: int) -> bool:
        """Stores ``alert``; False if it is stored already or its metric had one within ``cooldown`` seconds.

        Checked and written in one transaction per (rule, metric), so two evaluations at once make one alert.
        """
        fired = f"{PREFIX}:fired:{alert.rule}:{alert.metric}"
        mine = f"{alert.slot}:{token_hex(8)}"
        with translated(), self.redis.pipeline(transaction=True) as pipe:
            while True:
                try:
                    pipe.watch(fired)
                    last = (pipe.get(fired) or b"").decode()
                    if last == mine:
                        return True  # written by the try before, and only its answer was lost
                    if last and alert.slot - int(last.partition(":")[0]) < max(cooldown, 1):
                        return False
                    pipe.multi()
                    pipe.set(fired, mine, ex=max(cooldown, ALERT_LIFE))
                    pipe.hset(_alert_key(alert.id), mapping=asdict(alert))
                    pipe.expire(_alert_key(alert.id), ALERT_LIFE)
                    pipe.xadd(f"{PREFIX}:alerts", {"id": alert.id}, maxlen=KEPT, approximate=True)
                    pipe.execute()
                    return True
                except WatchError:
                    continue  # another evaluation of the metric was faster, or the connection was lost: look again

    def get(self, id: str) -> Alert | None:
        """The alert of that id, None if there is none (any more)."""
        with translated():
            stored = self.redis.hgetall(_alert_key(id))
        return _alert(stored) if stored else None

    def newest(self, count: int = 100) -> list[Alert]:
        """The newest ``count`` alerts, newest first."""
        with translated():
            ids = [entry[b"id"].decode() for _, entry in self.redis.xrevrange(f"{PREFIX}:alerts", count=count)]
            pipe = self.redis.pipeline(transaction=False)
            for id in ids:
                pipe.hgetall(_alert_key(id))
            return [_alert(stored) for stored in pipe.execute() if stored]


def _alert_key(id: str) -> str:
    return f"{PREFIX}:alert:{id}"


def _alert(stored: dict[bytes, bytes]) -> Alert:
    types: dict[str, Any] = {field.name: field.type for field in fields(Alert)}
    return Alert(**{name: kind(stored[name.encode()].decode()) for name, kind in types.items()})
