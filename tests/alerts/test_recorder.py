"""From samples to rows of the outbox, with a real store, step by step as in the pipeline."""

import numpy as np
import pytest

from tests.support.counting import counts
from tracker import pipeline
from tracker.alerts import recorder
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import All, Condition, Ratio, Stale, Threshold
from tracker.models import Market

NOW = 1_700_000_060.0
MARKET = "kraken:btcusd"
METRIC = f"{MARKET}:volume"
JUMP = Ratio(name="jump", match=("*:volume",), cooldown=600, channels=("log", "phone"))


class Tracker:
    """One market. The test sets its volumes and evaluates it minute by minute."""

    def __init__(self, store):
        self.store = store
        self.outbox = Outbox(store.redis)
        self.slots = store.ring.slots(NOW)
        self.newest = ([int(self.slots[-2])], [100.0])
        self.write(self.slots[:-1], np.full(len(self.slots) - 1, 100.0))
        store.watch("simulator", [Market(MARKET, "btc", "usd")])

    def write(self, slots, volumes):
        values = np.column_stack([np.full(len(slots), 10.0), volumes])
        self.store.write("simulator", MARKET, np.array(slots), values, float(slots[-1]) + 59, new=True)

    def minute(self, number, volume, rules=(JUMP,), wants_resolved=("phone",)):
        """Stores ``volume`` in the minute ``number`` after NOW, and evaluates halfway through it; returns the result.

        Like a fetch, it also writes the previous newest slot again, which makes that slot final.
        """
        slot = int(self.slots[-1]) + 60 * number
        (slots, volumes), self.newest = self.newest, ([slot], [volume])
        self.write(sorted({*slots, slot}), [*volumes, volume] if slots != [slot] else [volume])
        return pipeline.evaluate(self.store, self.outbox, rules, [MARKET], slot + 30.0, wants_resolved)


@pytest.fixture
def tracker(store):
    return Tracker(store)


def test_an_alert_has_a_row_for_each_channel_and_its_rule_as_it_was(tracker):
    found = tracker.minute(0, 1_000)
    [alert] = found.alerts
    assert found.rows == [f"{alert.id}/log/firing", f"{alert.id}/phone/firing"]
    _, definition, deliveries = tracker.outbox.explained(alert.id)
    assert [row.id for row in deliveries] == found.rows
    assert definition["kind"] == "ratio" and definition["factor"] == 3 and definition["match"] == ["*:volume"]


def test_alerts_are_counted_by_rule(tracker):
    with counts("tracker_alerts_total", rule=JUMP.name), counts("tracker_evaluated_metrics_total", 4):
        tracker.minute(0, 1_000)
        tracker.minute(0, 1_000)


def test_an_alert_is_over_once_a_closed_slot_is_clear_and_who_wants_to_know_is_told(tracker):
    [alert] = tracker.minute(0, 1_000).alerts
    assert tracker.minute(1, 100).rows == []  # the clear slot is not closed yet
    assert tracker.outbox.get(alert.id).state == "firing"
    found = tracker.minute(2, 100)
    assert (found.alerts, found.rows) == ([], [f"{alert.id}/phone/resolved"])
    over = tracker.outbox.get(alert.id)
    assert (over.state, over.resolved_at) == ("resolved", tracker.slots[-1] + 150.0)
    # only once
    assert tracker.minute(3, 100).rows == []
    assert tracker.outbox.firing() == {}


def test_missing_samples_end_no_alert(tracker):
    [alert] = tracker.minute(0, 1_000).alerts
    for minute in (5, 20, 600):  # nothing was written meanwhile
        now = tracker.slots[-1] + 60.0 * minute
        assert pipeline.evaluate(tracker.store, tracker.outbox, [JUMP], [MARKET], now).rows == []
    assert tracker.outbox.get(alert.id).state == "firing"


def test_an_alert_that_nothing_can_end_is_forgotten_after_a_week(tracker):
    tracker.minute(0, 1_000)
    week = 7 * 86_400
    for later, known in ((week - 60, 1), (week + 60, 0)):
        pipeline.evaluate(tracker.store, tracker.outbox, [JUMP], [MARKET], tracker.slots[-1] + float(later))
        assert len(tracker.outbox.firing()) == known


def test_what_fires_on_is_neither_over_nor_found_again(tracker):
    [alert] = tracker.minute(0, 1_000).alerts
    for minute in range(1, 6):
        found = tracker.minute(minute, 1_500)
        assert (found.alerts, found.rows) == ([], [])
    assert tracker.outbox.get(alert.id).state == "firing"


def test_an_alert_whose_end_was_not_seen_is_over_when_the_next_one_fires(tracker):
    [first] = tracker.minute(0, 1_000).alerts
    # given minutes that were stored and not evaluated
    slots = tracker.slots[-1] + 60 * np.arange(1, 20)
    tracker.write(slots, np.full(len(slots), 100.0))
    found = tracker.minute(20, 2_000)
    [second] = found.alerts
    assert f"{first.id}/phone/resolved" in found.rows
    assert tracker.outbox.get(first.id).state == "resolved"
    assert tracker.outbox.get(second.id).state == "firing"
    assert tracker.outbox.firing() == {f"jump:{METRIC}": second.slot}


def test_an_alert_is_over_although_the_worker_died_that_found_the_next_one(tracker, monkeypatch):
    [first] = tracker.minute(0, 1_000).alerts
    slots = tracker.slots[-1] + 60 * np.arange(1, 20)
    tracker.write(slots, np.full(len(slots), 100.0))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Outbox, "resolve", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        tracker.minute(20, 2_000)
    assert tracker.outbox.get(first.id).state == "firing"
    assert tracker.minute(21, 2_000).rows == [f"{first.id}/phone/resolved"]
    assert tracker.outbox.get(first.id).state == "resolved" and tracker.outbox.replaced() == []


def test_rules_have_alerts_of_their_own(tracker):
    high = Threshold(name="high", match=("*:volume",), above=500, channels=())
    found = tracker.minute(0, 1_000, [JUMP, high])
    assert [alert.rule for alert in found.alerts] == ["jump", "high"]
    assert len(tracker.outbox.newest()) == 2


def test_a_rule_without_channels_is_recorded_and_told_to_nobody(tracker):
    found = tracker.minute(0, 1_000, [Ratio(name="quiet", channels=())])
    assert len(found.alerts) == 1 and found.rows == []


def test_conditions_on_both_fields_of_a_market_make_one_alert_that_ends(tracker):
    quiet = All(name="quiet", channels=("phone",), all=(
        Condition("volume", Ratio(factor=3)), Condition("price", Threshold(below=11)),
    ))  # fmt: skip
    assert tracker.minute(0, 1_000, [quiet]).alerts == []  # the price may still rise
    [alert] = tracker.minute(1, 100, [quiet]).alerts
    assert (alert.metric, alert.slot) == (METRIC, tracker.slots[-1])
    stored, definition, _ = tracker.outbox.explained(alert.id)
    assert [each["value"] for each in stored.details["conditions"]] == [1_000, 10]
    assert definition["all"][1] | {"field": "price", "kind": "threshold", "below": 11} == definition["all"][1]
    assert tracker.minute(2, 100, [quiet]).rows == [f"{alert.id}/phone/resolved"]


SILENT = Stale(name="silent", after=300, channels=("log", "phone"))


def check(tracker, now, rules=(SILENT,)):
    return recorder.check_sources(tracker.store, tracker.outbox, rules, ["simulator"], now, ("phone",))


def heard(tracker, now):
    """Stores an answer of the source at ``now``, and evaluates it."""
    slot = tracker.store.ring.slot(now)
    values = np.array([[10.0, 100.0]])
    tracker.store.write("simulator", MARKET, np.array([slot]), values, now, new=True)
    pipeline.evaluate(tracker.store, tracker.outbox, (), [MARKET], now)


def test_a_silent_source_is_told_once_whatever_its_markets_and_once_when_it_is_back(tracker):
    tracker.store.watch("simulator", [Market(f"kraken:m{n}usd", "a", "usd") for n in range(50)])
    heard(tracker, NOW)
    assert check(tracker, NOW + 300).alerts == []
    [alert] = check(tracker, NOW + 301).alerts
    assert (alert.id, alert.metric) == (f"silent:source:simulator:{int(NOW // 60 * 60)}", "source:simulator")
    assert "no sample for 301 s" in alert.text
    for later in (302, 400, 4_000):
        assert check(tracker, NOW + later).alerts == []
    # when
    heard(tracker, NOW + 5_000)
    found = check(tracker, NOW + 5_010)
    # then
    assert found.rows == [f"{alert.id}/phone/resolved"]
    assert tracker.outbox.get(alert.id).state == "resolved"
    assert check(tracker, NOW + 5_020).rows == []


def test_a_source_that_answers_without_new_samples_is_stale(tracker):
    heard(tracker, NOW)
    for later in range(0, 700, 60):
        tracker.store.write("simulator", MARKET, np.array([], int), np.empty((0, 2)), NOW + later)
    [alert] = check(tracker, NOW + 660).alerts
    assert alert.value > 300


def test_a_source_that_never_answered_is_stale_too(store):
    outbox = Outbox(store.redis)
    for later, alerts in ((0, 0), (300, 0), (301, 1)):
        found = recorder.check_sources(store, outbox, [SILENT], ["simulator"], NOW + later)
        assert len(found.alerts) == alerts


def test_a_rule_for_other_metrics_says_nothing_of_a_source(tracker):
    heard(tracker, NOW)
    assert check(tracker, NOW + 1_000, [Stale(name="silent", after=300, match=("binance:*",))]).alerts == []
    assert len(check(tracker, NOW + 1_000, [Stale(name="kraken", after=300, match=("kraken:*",))]).alerts) == 1
