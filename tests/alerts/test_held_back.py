"""Notices that silences hold back, and digests above a channel's ceiling."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sending import ALERT, NOW, World, resolve
from tracker.alerts.quiet import Quiet
from tracker.alerts.sender import due
from tracker.errors import ChannelError


def test_a_silenced_metric_is_recorded_and_not_told(world):
    silence = world.silences.add(("kraken:*:volume",), NOW + 100, "listing day", NOW)
    found = world.deliver(world.record())
    assert found.state == "silenced"
    assert silence.id in found.attempts[0].detail and "listing day" in found.attempts[0].detail
    assert world.channel.sent == []
    assert world.outbox.newest() == [ALERT]


def test_other_metrics_and_later_times_are_not_silenced(world):
    world.silences.add(("kraken:*:price",), NOW + 100, "prices only", NOW)
    world.silences.add(("kraken:*:volume",), NOW, "over", NOW - 10)
    assert world.deliver(world.record()).state == "delivered"
    assert len(world.silences.all(NOW)) == 1


@pytest.mark.parametrize(
    ("matchers", "state"),
    [
        ({"rule": ("jump",)}, "silenced"),
        ({"rule": ("j*", "x")}, "silenced"),
        ({"rule": ("drop",)}, "delivered"),
        ({"severity": ("warning", "critical")}, "silenced"),
        ({"severity": ("info",)}, "delivered"),
        ({"rule": ("jump",), "severity": ("critical",)}, "delivered"),
    ],
)
def test_a_silence_may_be_for_some_rules_and_severities(world, matchers, state):
    world.silences.add(("kraken:*",), NOW + 100, "listing day", NOW, **matchers)
    assert world.deliver(world.record()).state == state


def test_a_silence_without_rules_and_severities_is_for_all_of_them(world, redis):
    """As they were stored before silences had these."""
    redis.hset("{dt1}:silences", "old", json.dumps({"id": "old", "match": ["*"], "until": NOW + 100, "reason": "x"}))
    assert world.deliver(world.record()).state == "silenced"


def test_a_silence_lasts_longer_or_shorter_if_it_is_changed(world):
    id = world.silence(10)
    row = world.record()
    world.deliver(row)
    assert world.silences.end_at(id, NOW + 100, NOW).until == NOW + 100
    world.run(99)
    assert world.told == []
    world.silences.end_at(id, NOW + 99.5, world.time)
    world.run(1)
    assert world.told == [("firing", ALERT.id)]
    assert world.silences.end_at(id, NOW + 200, world.time) is None
    assert world.silences.end_at("none", NOW + 200, world.time) is None


def test_what_a_silence_has_held_back_is_counted_once_an_alert(world):
    silences = [world.silence(1_000), world.silence(2_000, match="*:m6:*")]
    for number in range(7):
        alert = replace(ALERT, metric=f"kraken:m{number}:volume")
        row = world.record(alert)
        for _ in range(2):  # a task may run twice
            world.time += 1
            world.deliver(row)
    first, other = world.outbox.deliveries.held.back(silences)
    assert first.count == 7
    assert first.latest[0] == (alert.id, world.time)
    assert [id.split(":")[2] for id, _ in first.latest] == ["m6", "m5", "m4", "m3", "m2"]
    assert other.count == 0
    # the other one holds back what the first one would have told
    world.silences.remove(silences[0])
    world.run(1)
    first, other = world.outbox.deliveries.held.back(silences)
    assert (first.count, other.count, other.latest[0][0]) == (0, 1, alert.id)


def test_a_silence_that_is_removed_is_over(world):
    silence = world.silences.add(("*",), NOW + 100, "all", NOW)
    assert world.silences.remove(silence.id) and not world.silences.remove(silence.id)
    assert world.deliver(world.record()).state == "delivered"


def test_whoever_was_told_that_it_fires_is_told_that_it_is_over_whatever_silences_came_between(world):
    world.deliver(world.record())
    world.silence(1_000)
    assert world.deliver(resolve(world)).state == "delivered"
    assert world.told == [("firing", ALERT.id), ("resolved", ALERT.id)]


def test_what_was_over_before_its_silence_ended_is_never_told(world):
    world.silence(100)
    row = world.record()
    world.deliver(row)
    world.deliver(resolve(world))
    world.run(300)
    assert world.told == []
    assert world.outbox.deliveries.get(row).state == "silenced"


def test_what_still_fires_when_its_silence_ends_is_told_once(world):
    world.silence(100)
    row = world.record()
    assert world.deliver(row).next_try is None
    world.run(99)
    assert world.told == []
    world.run(200)
    assert world.told == [("firing", ALERT.id)]
    assert world.outbox.deliveries.get(row).state == "delivered"
    # and its end is sent too
    resolve(world)
    world.run(30)
    assert world.told == [("firing", ALERT.id), ("resolved", ALERT.id)]


def test_what_still_fires_when_its_silence_is_removed_is_told_by_the_next_sweep(world):
    id = world.silence(1_000)
    row = world.record()
    for _ in range(3):  # a task may run twice
        assert world.deliver(row).state == "silenced"
    world.silences.remove(id)
    world.run(1)
    assert world.told == [("firing", ALERT.id)]


def test_what_several_silences_hold_back_is_told_when_none_does_any_more(world):
    for seconds in (100, 50, 200):
        world.silence(seconds)
    last = world.silence(10_000, match="kraken:*")
    row = world.record()
    world.deliver(row)
    world.run(300)
    assert (world.told, world.outbox.deliveries.get(row).state) == ([], "silenced")
    world.silences.remove(last)
    world.run(1)
    assert world.told == [("firing", ALERT.id)]


def test_a_worker_that_dies_with_a_row_whose_silence_ended_loses_nothing(world):
    world.silence(10)
    row = world.record()
    world.deliver(row)
    world.time += 10
    assert due(world.outbox, 10) == [row]
    assert world.outbox.deliveries.claim(row, 10)  # the worker dies while it sends: the notice may have been sent
    resolve(world)
    world.run(60)
    assert world.told == [("firing", ALERT.id), ("resolved", ALERT.id)]


def test_a_row_that_is_held_while_its_silence_is_removed_is_released_by_a_later_sweep(world):
    """A worker may read the silences, then a silence is removed, and then the worker holds the row back."""
    row = world.record()
    claimed, token = world.outbox.deliveries.claim(row, 10)
    world.outbox.deliveries.hold(claimed, token, "gone", "by silence gone")
    world.run(1)
    assert world.told == [("firing", ALERT.id)]


def test_a_storm_that_a_silence_held_back_is_under_the_ceiling_too(world):
    world.outlet = world.outlet.model_copy(update={"ceiling": 5, "window": 60})
    id = world.silence(1_000)
    rows = storm(world, 100)
    world.silences.remove(id)
    world.run(130)
    assert [event for event, _ in world.told] == ["firing"] * 5 + ["digest"]
    assert {row.state for row in world.outbox.deliveries.all(rows)} == {"delivered", "digested"}


def test_a_silence_that_ends_after_its_alerts_are_forgotten_leaves_nothing_behind(world, redis):
    id = world.silence(1_000)
    row = world.record()
    world.deliver(row)
    redis.delete(f"{{dt1}}:delivery:{row}", f"{{dt1}}:alert:{ALERT.id}")  # a week later
    world.silences.remove(id)
    world.run(20)
    assert world.told == []
    assert redis.keys("{dt1}:held*") == [] and redis.zcard("{dt1}:due") == 0


def test_a_firing_notice_that_is_redriven_after_its_end_is_followed_by_it(world):
    world.channel.script = [ChannelError("answered 404", permanent=True)]
    row = world.record()
    world.deliver(row)
    assert world.deliver(resolve(world)).state == "silenced"
    world.outbox.deliveries.redrive([row])
    world.run(60)
    assert world.told == [("firing", ALERT.id)] * 2 + [("resolved", ALERT.id)]


def quiet(name, begin, end, match):
    return Quiet.read({"from": begin, "to": end, "zone": "UTC", "match": match}, lambda how, text: text, name=name)


#: Within the first two minutes after NOW, which is 22:13:20 UTC.
QUIET = [quiet("all", "22:13", "22:14", "*"), quiet("some", "22:14", "22:15", "*:m0:*")]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_is_told_twice_and_whoever_was_told_hears_the_end(redis, data):
    """Random histories of alerts, silences and ends, with tasks that run twice, late, or not at all."""
    redis.flushall()
    world = World(redis)
    world.quiet = data.draw(st.sampled_from([[], QUIET[:1], QUIET[1:], QUIET]))
    alerts = [replace(ALERT, metric=f"kraken:m{number}:volume") for number in range(2)]
    recorded, rows = [], []
    steps = ["fire", "clear", "silence", "extend", "end", "task", "sweep", "wait"]
    for step in data.draw(st.lists(st.sampled_from(steps))):
        if step == "fire" and len(recorded) < len(alerts):
            rows.append(world.record(alerts[len(recorded)]))
            recorded.append(alerts[len(recorded)])
        elif step == "clear" and recorded:
            rows += world.outbox.resolve(data.draw(st.sampled_from(recorded)).id, world.time, ["phone"])
        elif step == "silence":
            world.silence(data.draw(st.integers(1, 60)), data.draw(st.sampled_from(["*", "*:m0:*", "*:m1:*"])))
        elif step == "end" and (silences := world.silences.all(world.time)):
            world.silences.remove(data.draw(st.sampled_from(silences)).id)
        elif step == "extend" and (silences := world.silences.all(world.time)):
            until = world.time + data.draw(st.integers(1, 60))
            world.silences.end_at(data.draw(st.sampled_from(silences)).id, until, world.time)
        elif step == "task" and rows:
            world.deliver(data.draw(st.sampled_from(rows)))
        elif step == "sweep":
            due(world.outbox, 100)  # all tasks that it publishes are lost
        elif step == "wait":
            world.time += data.draw(st.integers(1, 30))
    world.run(150)  # every silence has ended
    assert len(world.told) == len(set(world.told))
    for alert in recorded:
        told = [event for event, key in world.told if key == alert.id]
        if world.outbox.get(alert.id).state == "firing":
            assert told == ["firing"]
        else:
            assert told in ([], ["firing", "resolved"])
    assert redis.zcard("{dt1}:due") == 0 and redis.keys("{dt1}:held*") == []


def storm(world, count):
    alerts = [replace(ALERT, metric=f"kraken:p{n:03}:volume", value=300.0 + n, text=f"p{n:03}") for n in range(count)]
    rows = [world.record(alert) for alert in alerts]
    for row in rows:
        world.deliver(row)
    return rows


def test_a_storm_becomes_a_handful_of_messages_and_every_alert_is_recorded(world):
    world.outlet = world.outlet.model_copy(update={"ceiling": 5, "window": 60})
    rows = storm(world, 300)
    world.run(130)
    assert [event for event, _ in world.told] == ["firing"] * 5 + ["digest"]
    assert len(world.outbox.newest(1_000)) == 300
    states = [row.state for row in world.outbox.deliveries.all(rows)]
    assert states == ["delivered"] * 5 + ["digested"] * 295
    # and the digest counts the alerts of each rule, and quotes the largest
    digest = world.channel.sent[-1]
    assert (digest.title, digest.severity) == ("295 more alerts", "warning")
    assert digest.text.splitlines()[:2] == ["295 x jump", "p299"]
    assert digest.text.splitlines()[-1] == "and 285 more"
    assert world.outbox.deliveries.get(digest.id).state == "delivered"


def test_each_window_has_its_own_ceiling(world):
    world.outlet = world.outlet.model_copy(update={"ceiling": 1, "window": 60})
    world.time = NOW // 60 * 60
    storm(world, 1)
    world.time += 60
    assert world.deliver(world.record(replace(ALERT, slot=ALERT.slot + 3_600))).state == "delivered"


def test_a_digest_that_fails_is_tried_again_with_what_it_told(world):
    world.outlet = world.outlet.model_copy(update={"ceiling": 1, "window": 60})
    world.channel.script = [None, ChannelError("answered 500", status=500)]
    storm(world, 3)
    world.run(130)
    digests = [notice for notice in world.channel.sent if notice.event == "digest"]
    assert len(digests) == 2
    assert (digests[0].id, digests[0].text) == (digests[1].id, digests[1].text)


def test_a_digest_that_was_claimed_takes_no_more_rows(world):
    world.outlet = world.outlet.model_copy(update={"ceiling": 1, "window": 60})
    world.time = NOW // 60 * 60
    storm(world, 2)
    # given a digest that is being sent, and a row of its window that comes late
    world.time += 60
    [digest] = [row for row in world.outbox.deliveries.due(10) if row.startswith("digest:")]
    world.outbox.deliveries.claim(digest, 10)
    world.time -= 1
    late = world.record(replace(ALERT, metric="kraken:late:volume"))
    world.deliver(late)
    # then the next digest has the row
    world.run(200)
    assert [notice.title for notice in world.channel.sent if notice.event == "digest"] == ["1 more alert"] * 2
    assert world.outbox.deliveries.get(late).state == "digested"
