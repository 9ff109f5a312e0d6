"""Records in the outbox what the rules find: new alerts and alerts that are over. Returns the rows to send now."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tracker import counts
from tracker.alerts import late, rules
from tracker.alerts.deliveries import LIFE
from tracker.alerts.outbox import Outbox
from tracker.models import FIELDS, FIRING, Alert, Delivery, Metric
from tracker.store.series import Store


@dataclass
class Found:
    """New alerts, new late alerts, and the ids of the outbox's rows to send now."""

    alerts: list[Alert] = field(default_factory=list)
    late: list[Alert] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)


class Recorder:
    """Records what the rules find at ``now``, Unix seconds.

    wants_resolved: the channels that get a notice when an alert is over; wants_late: those that get a digest of late
    alerts; firing: ``rule:metric`` -> slot of the alerts that were not resolved before, and of late ones.
    """

    def __init__(self, outbox: Outbox, now: float, wants_resolved: Collection[str], wants_late: Collection[str] = ()):
        self.outbox, self.now, self.wants_resolved, self.wants_late = outbox, now, wants_resolved, wants_late
        self.found = Found()
        firing = outbox.firing()
        self.firing = {subject: slot for subject, slot in firing.items() if slot > now - LIFE}
        outbox.forget([*(firing.keys() - self.firing.keys())])  # their rules or metrics are gone
        for id in outbox.replaced():
            self.found.rows += outbox.resolve(id, now, wants_resolved)

    def fire(self, rule: rules.Rule, alert: Alert) -> None:
        """Records a firing, if it is new. It ends the alert before it, if that one still fires."""
        subject = f"{alert.rule}:{alert.metric}"
        if self.firing.get(subject) == alert.slot:
            return
        if self.outbox.record(alert, rule.cooldown, rule.channels, rule.definition(), self._before(subject)):
            counts.ALERTS.labels(alert.rule).inc()
            self.found.alerts.append(alert)
            self.found.rows += [Delivery(alert.id, channel, FIRING).id for channel in rule.channels]
            self.end(subject)

    def look_back(
        self, active: Sequence[rules.LevelRule], series: rules.Series, since: Mapping[str, int], first: int,
        steps: int = rules.FRESH_STEPS,
    ) -> None:  # fmt: skip
        """Records edges in slots that came too late, from ``since`` (metric -> slot) on; the rest as in ``check``."""
        most = late.AT_ONCE - len(self.found.late)
        found = late.found(series, active, since, first, steps, self.now, most)
        silences = self.outbox.silences.all(self.outbox.deliveries.now()) if found else []
        outbox = late.Late(self.outbox)
        for rule, alert in found:
            if outbox.full:
                break
            told = [channel for channel in rule.channels if channel in self.wants_late]
            is_silenced = any(silence.covers(alert) for silence in silences)
            tellers, held = ([], told) if is_silenced else (told, [])
            subject = f"{alert.rule}:{alert.metric}"
            if outbox.record(alert, rule.cooldown, tellers, held, rule.definition(), self._before(subject)):
                self.found.late.append(alert)
                self.end(subject)
                self.firing[subject] = alert.slot

    def end(self, subject: str) -> None:
        """Resolves the alert that fires for ``rule:metric``, if there is one."""
        if before := self._before(subject):
            self.found.rows += self.outbox.resolve(before, self.now, self.wants_resolved)

    def _before(self, subject: str) -> str:
        """The id of the alert that fires for ``rule:metric``; empty if there is none."""
        return f"{subject}:{self.firing[subject]}" if subject in self.firing else ""

    def check(
        self, active: Sequence[rules.LevelRule], series: rules.Series, first: int, steps: int = rules.FRESH_STEPS
    ) -> None:
        """Checks the ``active`` rules on ``series``, whose first slot is ``first``."""
        step, metrics = series.step, series.metrics
        for rule, edge in rules.firings(series, active, steps):
            self.fire(rule, edge.alert(rule, metrics[edge.row], first + edge.column * step, self.now))
        for rule in active:
            rows = [row for row, metric in enumerate(metrics) if f"{rule.name}:{metric}" in self.firing]
            subjects = [f"{rule.name}:{metrics[row]}" for row in rows]
            since = np.array([(self.firing[subject] - first) // step for subject in subjects], int)
            over = rules.cleared(series.take(np.array(rows, int)), rule, since)
            for subject in itertools.compress(subjects, over):
                self.end(subject)


def check_sources(
    store: Store, outbox: Outbox, stale: Sequence[rules.Stale], sources: Sequence[str], now: float,
    wants_resolved: Collection[str] = (),
) -> Found:  # fmt: skip
    """Records the ``sources`` that the rules find stale, each once, and resolves those that are back."""
    recorder = Recorder(outbox, now, wants_resolved)
    newest = cache(lambda field: _newest_slots(store, field))  # read once for all sources and rules
    for source, rule in itertools.product(sources, stale):
        heard = _heard(store, rule, source, now, newest)
        if heard is not None and rule.fires(now - heard):
            recorder.fire(rule, rule.alert(source, heard, store.ring.step, now))
        elif heard is not None and rule.clears(now - heard):
            recorder.end(f"{rule.name}:source:{source}")
    return recorder.found


def _newest_slots(store: Store, field: str) -> dict[str, int]:
    ids, summaries = store.summaries(field)
    return dict(zip(ids, summaries["slot"].tolist(), strict=True))


def _heard(
    store: Store, rule: rules.Stale, source: str, now: float, newest: Callable[[str], Mapping[str, int]]
) -> float | None:
    """When ``source`` last gave a sample of a metric that ``rule`` matches; None if the source has no such metric.

    newest: field -> the newest slots of its metrics.
    """
    watched = [Metric(market, field) for market in store.watched(source) for field in FIELDS]
    matching = [metric for metric in watched if rule.matches(metric.id)]
    if watched and not matching:
        return None
    success = store.status(source).get("last_success")
    if success is None:
        return store.waiting_since(source, now)
    slot = max((newest(metric.field).get(metric.id, 0) for metric in matching), default=0)
    return min(float(success), slot + store.ring.step) if slot else float(success)
