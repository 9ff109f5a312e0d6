"""Finds metrics that enter the top of a ranking, and those that have left it.

``{dt1}:top:{rule}:{field}`` hash: metric in the top -> slot in which it entered; ``by``: what the rule asks for;
``of``: how many metrics the ranking had.
"""

from collections.abc import Collection, Sequence

from tracker.alerts.outbox import Outbox
from tracker.alerts.recorder import Found, Recorder
from tracker.alerts.rules import Ranked
from tracker.models import FIELDS
from tracker.series.ring import HOUR
from tracker.store.connection import PREFIX, translated
from tracker.store.series import Store

#: The top of a rule that was not checked for so many seconds is forgotten.
LIFE = HOUR


def check(
    store: Store, outbox: Outbox, ranked: Sequence[Ranked], now: float, wants_resolved: Collection[str] = ()
) -> Found:
    """Records the metrics that enter the top of their ranking, and resolves those that have left it."""
    if not ranked:
        return Found()
    recorder = Recorder(outbox, now, wants_resolved)
    for rule in ranked:
        for field in FIELDS:
            _check(store, recorder, rule, field)
    return recorder.found


def _check(store: Store, recorder: Recorder, rule: Ranked, field: str) -> None:
    """A metric enters if it was ranked before, so nothing does while the ranking grows, nor at a rule's first check."""
    leaders, of = store.leaders(field, rule.by, rule.last)
    key, by = f"{PREFIX}:top:{rule.name}:{field}", f"{rule.by} {rule.top} {rule.last}"
    with translated():
        known = {name.decode(): value.decode() for name, value in recorder.outbox.redis.hgetall(key).items()}
    same, before = known.pop("by", "") == by, int(known.pop("of", 0))
    members = known.keys() if same else set()
    entering, leaving = rule.entering(leaders, members), rule.leaving(leaders, members)
    slot = store.ring.slot(recorder.now)
    if same and of <= before:
        for metric, position in entering.items():
            if f"{rule.name}:{metric}" not in recorder.firing:  # else its alert is there, and its note was lost
                recorder.fire(rule, rule.alert(metric, position, of, slot, recorder.now))
    firing = {subject.partition(":")[2] for subject in recorder.firing if subject.startswith(f"{rule.name}:")}
    for metric in rule.leaving(leaders, {metric for metric in firing if metric.endswith(f":{field}")}):
        recorder.end(f"{rule.name}:{metric}")
    with translated(), recorder.outbox.redis.pipeline(transaction=True) as pipe:
        if not same:
            pipe.delete(key)
        if leaving:
            pipe.hdel(key, *leaving)
        pipe.hset(key, mapping={"by": by, "of": of, **dict.fromkeys(entering, slot)})
        pipe.expire(key, LIFE)
        pipe.execute()
