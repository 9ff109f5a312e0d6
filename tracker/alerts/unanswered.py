"""Finds markets for which their source gives no answer while it answers for others."""

from collections.abc import Collection, Sequence

from tracker.alerts.outbox import Outbox
from tracker.alerts.recorder import Found, Recorder
from tracker.alerts.rules import Silent
from tracker.store.series import Store


def check(
    store: Store, outbox: Outbox, silent: Sequence[Silent], sources: Sequence[str], now: float,
    wants_resolved: Collection[str] = (),
) -> Found:  # fmt: skip
    """Records the markets without answers, each once, and resolves those that got one again.

    A source that answers for no market at all changes nothing: a rule of the kind ``stale`` is for that. A market that
    never got an answer has no time to begin from.
    """
    if not silent:
        return Found()
    recorder = Recorder(outbox, now, wants_resolved)
    for source in sources:
        answers = store.answers(source)
        newest = max(answers.values(), default=now)
        for market, answered in answers.items():
            for rule in silent:
                if not rule.wants_answers(market):
                    continue
                if rule.unanswered(newest - answered):
                    recorder.fire(rule, rule.alert(market, answered, store.ring.step, now))
                else:
                    recorder.end(f"{rule.name}:{market}:price")
    return recorder.found
