"""The past: edges in slots that came too late to be told at once. They are recorded, and told in digests.

They come after an absence of the tracker or of a source. Each channel that wants them gets one digest for an absence:
QUIET seconds after the last such edge was found, and at most LONGEST seconds after the first one.

``{dt1}:absence`` hash, the absence of which edges are found now: ``digest``, its id; ``began`` and ``ends`` (Unix
seconds); ``count``, its recorded alerts. ``{dt1}:fired-late:{rule}:{metric}`` string, as ``{dt1}:fired:...``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

import numpy as np

from tracker.alerts import rules
from tracker.alerts.deliveries import LIFE
from tracker.alerts.outbox import Outbox, fired_key, slot_of
from tracker.models import DIGEST, FIRING, Alert, Delivery
from tracker.store.connection import PREFIX, transact

#: Seconds, see above.
QUIET, LONGEST = 60, 600
#: One evaluation records so many edges, the newest; an absence, the first so many that are found.
AT_ONCE, MOST = 100, 1_000
#: Rows that are looked through together: the means of a day take about 45 MB then.
GROUP = 64
ABSENCE = f"{PREFIX}:absence"
#: The id of a digest of late alerts begins with this.
LATE = "late:"


def found(
    series: rules.Series, active: Sequence[rules.LevelRule], since: Mapping[str, int], first: int, fresh: int,
    now: float, most: int = AT_ONCE,
) -> list[tuple[rules.LevelRule, Alert]]:  # fmt: skip
    """The newest edges in slots from ``since`` (metric -> slot) on that are not fresh: at most ``most``, oldest first.

    ``series`` begins with the slot ``first``. ``fresh``: number of steps during which a slot may alert at once.
    """
    rows = np.array([row for row, metric in enumerate(series.metrics) if metric in since], int)
    last = series.values.shape[1] - 1
    edges = []
    for at in range(0, len(rows), GROUP):
        some = series.take(rows[at : at + GROUP])
        oldest = max((min(since[metric] for metric in some.metrics) - first) // series.step, 0)
        for rule, edge in rules.firings(some, active, last - oldest):
            metric, slot = some.metrics[edge.row], first + edge.column * series.step
            if slot >= since[metric] and edge.column < last - fresh:
                edges.append((slot, metric, rule, edge))
    newest = sorted(edges, key=lambda each: each[0])[max(len(edges) - most, 0) :]
    return [(rule, replace(edge.alert(rule, metric, slot, now), late=True)) for slot, metric, rule, edge in newest]


@dataclass(frozen=True)
class _Absence:
    """An open absence: the id of its digest, when it began and ends (Unix seconds), and its recorded alerts."""

    digest: str
    began: float
    ends: float
    count: int


class Late:
    """Records late alerts. ``full``: the absence has MOST already. May raise StoreError."""

    def __init__(self, outbox: Outbox):
        self.outbox, self.deliveries, self.full = outbox, outbox.deliveries, False

    def record(
        self, alert: Alert, cooldown: int, told: Sequence[str], held: Sequence[str], definition: Mapping[str, Any],
        before: str = "",
    ) -> bool:  # fmt: skip
        """Stores a late ``alert``; the digests of the channels ``told`` tell it. ``before`` and False as in record.

        It is False too if the absence is full. The channels ``held``, which a silence keeps from being told, get an
        ordinary row: they are told when the silence ends, if it still fires then. A late alert never holds back an
        alert that is not late.
        """
        fired, late = fired_key(alert), f"{PREFIX}:fired-late:{alert.rule}:{alert.metric}"
        mine = f"{alert.slot}:{token_hex(8)}"

        def work(pipe: Any) -> bool:  # again if another evaluation was faster, or the connection broke
            lasts = pipe.mget(fired, late)
            if (lasts[1] or b"").decode() == mine:
                return True  # written by the try before, and only its answer was lost
            if alert.slot - max(map(slot_of, lasts)) < max(cooldown, 1):
                return False
            absence = self._absence(pipe, told)
            self.full = absence.count > MOST
            pipe.multi()
            known = vars(absence) | {"count": min(absence.count, MOST)}
            pipe.hset(ABSENCE, mapping=known)
            pipe.expire(ABSENCE, LIFE)
            if not self.full:
                pipe.set(late, mine, ex=max(cooldown, LIFE))
                self._add(pipe, alert, absence, told, held, definition, before)
            return not self.full

        return transact(self.outbox.redis, work, fired, late, ABSENCE)

    def _absence(self, pipe: Any, told: Sequence[str]) -> _Absence:
        """The open absence with one more alert, or a new one if a digest of the last one may be on its way."""
        now, stored = self.deliveries.now(), {name.decode(): value for name, value in pipe.hgetall(ABSENCE).items()}
        if stored and now < float(stored["ends"]):
            digest, began = stored["digest"].decode(), float(stored["began"])
            if not any(self.deliveries.was_claimed(pipe, _digest(digest, channel).id) for channel in told):
                return _Absence(digest, began, min(now + QUIET, began + LONGEST), int(stored["count"]) + 1)
        return _Absence(f"{LATE}{now:.0f}", now, now + QUIET, 1)

    def _add(
        self, pipe: Any, alert: Alert, absence: _Absence, told: Sequence[str], held: Sequence[str],
        definition: Mapping[str, Any], before: str,
    ) -> None:  # fmt: skip
        rows = {channel: Delivery(alert.id, channel, FIRING) for channel in (*told, *held)}
        digests = {channel: _digest(absence.digest, channel) for channel in told}
        told_by = {channel: digest.id for channel, digest in digests.items()}
        self.outbox.add(pipe, alert, [*rows.values()], definition, before, told_by)
        for channel, digest in digests.items():
            self.deliveries.add(pipe, digest, absence.ends)
            self.deliveries.put_into(pipe, rows[channel], digest, "found too late")


def _digest(id: str, channel: str) -> Delivery:
    return Delivery(id, channel, DIGEST)
