"""Acknowledging an alert: reminders and the notices to a second channel stop, and go on when it is taken back."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sending import ALERT, NOW, Scripted, World
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.sender import due
from tracker.errors import ChannelError

REMIND, AFTER = 1_800, 600
RULE = {"remind": REMIND, "then": ["boss"], "then_after": AFTER}
REMINDED = {"remind": REMIND}


class Rota(World):
    """A World with a second channel, ``boss``, which also wants to know the end."""

    def __init__(self, redis):
        super().__init__(redis)
        self.boss = Scripted()
        self.outlets["boss"] = ConfiguredChannel(name="boss", kind="scripted", channel=self.boss)

    def fire(self, rule=RULE, alert=ALERT):
        """Records an alert of ``rule`` for the phone; the boss comes later."""
        assert self.outbox.record(alert, 60, ["phone"], rule)
        self.run(1)

    def clear(self, alert=ALERT):
        return self.outbox.resolve(alert.id, self.time, ["phone", "boss"])

    def acknowledge(self, alert=ALERT):
        assert self.outbox.acknowledge(alert.id, "kim", "looking", self.time)

    def heard(self, channel=None):
        """The events that a channel has sent, in order."""
        return [notice.event for notice in (channel or self.channel).taken]

    def run(self, seconds, step=20):
        super().run(seconds, step)


@pytest.fixture
def rota(redis):
    return Rota(redis)


def test_an_alert_that_nobody_acknowledges_is_repeated_until_it_is_over(rota):
    rota.fire(REMINDED)
    rota.run(REMIND - 100)
    assert rota.heard() == ["firing"]
    rota.run(200)
    assert rota.heard() == ["firing", "reminder"]
    rota.run(REMIND)
    assert rota.heard() == ["firing", "reminder", "reminder"]
    ids = [notice.id for notice in rota.channel.sent]
    assert ids == [ALERT.id, f"{ALERT.id}:reminder:1", f"{ALERT.id}:reminder:2"]
    assert {notice.key for notice in rota.channel.sent} == {ALERT.id}
    assert rota.channel.sent[-1].text == "still firing, not acknowledged: it jumped"
    rota.clear()
    rota.run(3 * REMIND)
    assert rota.heard()[3:] == ["resolved"]
    assert due(rota.outbox, 10) == []


def test_an_acknowledgement_stops_reminders_until_it_is_taken_back(rota):
    rota.fire(REMINDED)
    rota.acknowledge()
    rota.run(5 * REMIND)
    assert rota.heard() == ["firing"]
    assert rota.outbox.take_back(ALERT.id) and rota.outbox.get(ALERT.id).acknowledged is None
    rota.run(REMIND + 100)
    assert rota.heard() == ["firing", "reminder"]


def test_the_next_alert_of_the_metric_reminds_again(rota):
    rota.fire(REMINDED)
    rota.acknowledge()
    rota.clear()
    again = replace(ALERT, slot=ALERT.slot + 3_600)
    rota.fire(REMINDED, again)
    rota.run(REMIND + 100)
    assert [(notice.event, notice.key) for notice in rota.channel.sent if notice.event != "resolved"] == [
        ("firing", ALERT.id), ("firing", again.id), ("reminder", again.id)
    ]  # fmt: skip


def test_a_second_channel_is_told_if_nobody_acknowledges_and_hears_the_end(rota):
    rota.fire({"then": ["boss"], "then_after": AFTER})
    rota.run(AFTER - 100)
    assert rota.heard(rota.boss) == []
    rota.run(200)
    assert rota.heard(rota.boss) == ["firing"]
    assert rota.boss.sent[0].text == "not acknowledged within 10 min: it jumped"
    rota.clear()
    rota.run(100)
    assert rota.heard(rota.boss) == ["firing", "resolved"] == rota.heard()


@pytest.mark.parametrize("over", ["acknowledged", "over"])
def test_a_second_channel_hears_nothing_of_what_is_acknowledged_or_over_in_time(rota, over):
    rota.fire()
    rota.acknowledge() if over == "acknowledged" else rota.clear()
    rota.run(3 * AFTER)
    rota.clear()
    rota.run(3 * AFTER)
    assert (rota.heard(), rota.heard(rota.boss)) == (["firing", "resolved"], [])
    assert due(rota.outbox, 10) == []


def test_a_second_channel_is_told_after_an_acknowledgement_is_taken_back(rota):
    rota.fire()
    rota.acknowledge()
    rota.run(2 * AFTER)
    rota.outbox.take_back(ALERT.id)
    rota.run(AFTER + 100)
    assert rota.heard(rota.boss) == ["firing"]


def test_a_second_channel_is_told_although_the_first_one_fails(rota):
    rota.channel.away = True
    rota.fire()
    rota.run(AFTER + 100)
    assert (rota.heard(), rota.heard(rota.boss)) == ([], ["firing"])


def test_a_silence_holds_back_reminders_and_the_second_channel(rota):
    rota.fire()
    rota.silence(3 * REMIND)
    rota.run(3 * REMIND - 100)
    assert (rota.heard(), rota.heard(rota.boss)) == (["firing"], [])
    # when it ends, the reminder comes at once, and people have some time before the boss is told
    rota.run(200)
    assert (rota.heard(), rota.heard(rota.boss)) == (["firing", "reminder"], [])
    rota.run(AFTER)
    assert rota.heard(rota.boss) == ["firing"]


def test_what_is_told_after_a_silence_is_reminded_of_later(rota):
    rota.silence(REMIND - 10)
    rota.fire(REMINDED)
    rota.run(REMIND + 100)
    assert rota.heard() == ["firing"]
    rota.run(REMIND + 100)
    assert rota.heard() == ["firing", "reminder"]


def test_a_reminder_that_fails_is_tried_again_as_the_same_one(rota):
    rota.channel.script = [None, ChannelError("answered 500", status=500)]
    rota.fire(REMINDED)
    rota.run(REMIND + 300)
    assert [notice.id for notice in rota.channel.sent[1:]] == [f"{ALERT.id}:reminder:1"] * 2
    rota.run(REMIND)
    assert rota.channel.sent[-1].id == f"{ALERT.id}:reminder:2"


def test_reminders_above_the_ceiling_are_in_a_digest_and_go_on(rota):
    rota.outlets["phone"] = rota.outlet.model_copy(update={"ceiling": 2, "window": 60})
    for number in range(5):
        assert rota.outbox.record(replace(ALERT, metric=f"kraken:m{number}:volume"), 60, ["phone"], REMINDED)
    rota.run(REMIND - 100)
    assert sorted(rota.heard()) == ["digest", "firing", "firing"]
    for _ in range(2):
        rota.channel.taken.clear()
        rota.run(REMIND)
        assert sorted(rota.heard()) == ["digest", "reminder", "reminder"]
        assert "3 x jump reminder" in rota.channel.taken[-1].text


def test_a_worker_that_dies_after_a_reminder_sends_that_one_again_and_no_other(rota):
    rota.fire(REMINDED)
    rota.time += REMIND + 100
    row = f"{ALERT.id}/phone/reminder"
    row_then, token = rota.outbox.deliveries.claim(row, 15)
    rota.run(40, 10)
    assert [notice.id for notice in rota.channel.sent[1:]] == [f"{ALERT.id}:reminder:1"]
    # and what the dead one would have noted comes too late
    rota.outbox.deliveries.repeat(row_then, token, replace(rota.outbox.deliveries.get(row).attempts[-1], at=NOW))
    assert rota.outbox.deliveries.get(row).number == 1


def test_a_reminder_to_come_is_no_notice_that_waits_and_ends_with_its_alert(rota):
    rota.fire(RULE)
    for _ in range(3):
        rota.run(REMIND)
        assert rota.outbox.deliveries.oldest_pending() > rota.time - 60
    rota.acknowledge()
    rota.run(3 * REMIND)
    assert rota.outbox.deliveries.oldest_pending() > rota.time
    rota.clear()
    rota.run(60)
    assert rota.outbox.deliveries.pending() == []


def test_the_note_of_a_forgotten_alert_is_not_kept(rota, redis):
    assert not rota.outbox.acknowledge("no:such:1", "kim", "", NOW) and not rota.outbox.take_back("no:such:1")
    assert redis.keys("{dt1}:alert:*") == []


STEPS = ("fire", "clear", "acknowledge", "take back", "silence", "end", "task", "sweep", "wait", "restart", "kill")


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_is_told_twice_and_who_was_told_hears_the_end_and_nothing_stays_untold(redis, data):
    """Random histories, with tasks that run twice, late, or not at all, and workers that start anew."""
    redis.flushall()
    rota = Rota(redis)
    alerts = [replace(ALERT, metric=f"kraken:m{number}:volume") for number in range(2)]
    recorded, ids, acknowledged, killed = [], [], set(), 0
    for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=25)):
        chosen = data.draw(st.sampled_from(recorded)) if recorded else None
        if step == "fire" and len(recorded) < len(alerts):
            recorded.append(alerts[len(recorded)])
            assert rota.outbox.record(recorded[-1], 60, ["phone"], RULE)
            ids += json.loads(redis.hget(f"{{dt1}}:alert:{recorded[-1].id}", "rows"))
        elif step == "clear" and chosen:
            ids += rota.clear(chosen)
        elif step == "acknowledge" and chosen:
            rota.acknowledge(chosen)
            acknowledged.add(chosen.id)
        elif step == "take back" and chosen:
            rota.outbox.take_back(chosen.id)
            acknowledged.discard(chosen.id)
        elif step == "silence":
            rota.silence(data.draw(st.integers(60, 3_000)), data.draw(st.sampled_from(["*", "*:m0:*", "*:m1:*"])))
        elif step == "end" and (silences := rota.silences.all(rota.time)):
            rota.silences.remove(data.draw(st.sampled_from(silences)).id)
        elif step == "task" and ids:
            rota.deliver(data.draw(st.sampled_from(ids)))
        elif step == "sweep":
            due(rota.outbox, 100)  # all tasks that it publishes are lost
        elif step == "wait":
            rota.run(data.draw(st.sampled_from([20, 300, 1_000])), 100)
        elif step == "kill" and ids and killed < 5:  # a worker dies, perhaps after it has sent
            rota.outbox.deliveries.claim(data.draw(st.sampled_from(ids)), 15)
            killed += 1
        elif step == "restart":
            old, rota = rota, Rota(redis)
            rota.time, rota.channel, rota.boss, rota.outlets = old.time, old.channel, old.boss, old.outlets
    rota.run(max([rota.time, *(each.until for each in rota.silences.all(rota.time))]) - rota.time + 40)
    still = [alert for alert in recorded if rota.outbox.get(alert.id).state == "firing"]
    assert {alert.id for alert in still} <= {notice.key for notice in rota.channel.taken}
    rota.run(AFTER + 200, 100)
    assert {each.id for each in still} - acknowledged <= {notice.key for notice in rota.boss.taken}
    rota.run(REMIND + 200, 100)
    reminded = {notice.key for notice in rota.channel.taken if notice.event == "reminder"}
    assert {each.id for each in still} - acknowledged <= reminded
    # and when all is over, no channel is told anything twice, and each that was told hears the end
    for alert in still:
        rota.clear(alert)
    rota.run(AFTER + 200, 100)
    for channel in (rota.channel, rota.boss):
        told = [notice.id for notice in channel.sent]
        assert len(told) == len(set(told))
        for alert in recorded:
            heard = [notice.event for notice in channel.taken if notice.key == alert.id]
            assert heard == [] or (heard[0], heard[-1]) == ("firing", "resolved") or (killed and heard == ["resolved"])
            assert set(heard[1:-1]) <= {"reminder"}
    rota.run(REMIND + 100, 100)
    assert redis.zcard("{dt1}:due") == 0 and redis.keys("{dt1}:held*") == []
