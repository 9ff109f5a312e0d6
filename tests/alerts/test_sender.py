"""What becomes of a row when it is sent: by real channels' words, with the clock in hand."""

import logging
import threading
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.servers import free_port
from tracker import http
from tracker.alerts.channels import ConfiguredChannel, webhook
from tracker.alerts.channels import log as log_channel
from tracker.alerts.deliveries import GIVE_UP
from tracker.alerts.outbox import Outbox
from tracker.alerts.sender import DEATHS, LONGEST, LONGEST_ASKED, backoff, deliver, due
from tracker.alerts.silences import Silences
from tracker.alerts.waiting import PROBE
from tracker.errors import ChannelError
from tracker.models import Alert

NOW = 1_700_000_000.0
ALERT = Alert(
    "jump", "kraken:btcusd:volume", 1_699_999_980, 301.5, 100.5, 3.0, 60, 3_600, NOW, text="it jumped"
)  # fmt: skip


@dataclass
class Scripted:
    """A channel that does what it is told, in turn, then takes everything unless it is ``away``.

    refused: keys of notices that it never takes.
    """

    PATIENCE: ClassVar[int] = 10
    CEILING: ClassVar[int] = 0

    script: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    taken: list = field(default_factory=list)
    away: bool = False
    refused: set = field(default_factory=set)

    def send(self, notice):
        self.sent.append(notice)
        if self.away or notice.key in self.refused:
            raise ChannelError("answered 503", status=503)
        if self.script and (error := self.script.pop(0)):
            raise error
        self.taken.append(notice)
        return "taken"


class World:
    """An outbox, one channel ``phone``, and a clock that is set by hand."""

    def __init__(self, redis):
        self.time = NOW
        self.outbox = Outbox(redis, lambda: self.time)
        self.silences = Silences(redis)
        self.channel = Scripted()
        self.outlet = ConfiguredChannel(name="phone", kind="scripted", channel=self.channel)

    def record(self, alert=ALERT):
        assert self.outbox.record(alert, 60, ["phone"])
        return f"{alert.id}/phone/firing"

    def deliver(self, row):
        deliver(self.outbox, {"phone": self.outlet}, row)
        return self.outbox.deliveries.get(row)

    def run(self, seconds, step=1):
        """Lets time pass, sending whatever becomes due."""
        end = self.time + seconds
        while self.time < end:
            self.time += step
            for row in due(self.outbox, 1_000):
                self.deliver(row)

    def silence(self, seconds, match="*"):
        return self.silences.add((match,), self.time + seconds, "listing day", self.time).id

    @property
    def told(self):
        return [(notice.event, notice.key) for notice in self.channel.sent]


@pytest.fixture
def world(redis):
    return World(redis)


def test_a_notice_is_sent_once_and_that_is_noted(world):
    row = world.record()
    world.deliver(row)
    delivered = world.deliver(row)
    assert world.told == [("firing", ALERT.id)]
    assert (delivered.state, [(each.ok, each.detail) for each in delivered.attempts]) == (
        "delivered",
        [(True, "taken")],
    )


def test_what_fails_is_tried_again_until_it_is_taken(world):
    world.channel.script = [ChannelError("answered 500", status=500), ChannelError("did not answer in time")]
    row = world.record()
    world.deliver(row)
    world.run(30)
    found = world.outbox.deliveries.get(row)
    assert found.state == "delivered"
    assert [(each.ok, each.status) for each in found.attempts] == [(False, 500), (False, None), (True, None)]
    assert {notice.id for notice in world.channel.sent} == {ALERT.id}  # a receiver can tell that it is the same


def test_a_permanent_error_is_not_tried_again(world):
    world.channel.script = [ChannelError("answered 404", permanent=True, status=404)]
    row = world.record()
    world.deliver(row)
    world.run(1_000)
    assert len(world.channel.sent) == 1
    [dead] = world.outbox.deliveries.dead()
    assert (dead.id, dead.attempts[-1].detail) == (row, "answered 404")


def test_a_row_is_dead_after_hours_and_redriven_has_all_of_them_again(world):
    answers = [ChannelError("answered 500", status=500)]
    world.channel.script = answers * 10_000
    row = world.record()
    for _ in range(2):
        began = world.time
        world.deliver(row)
        world.run(GIVE_UP - 600, step=15)
        assert world.outbox.deliveries.get(row).state == "pending"
        world.run(1_200, step=15)
        dead = world.outbox.deliveries.get(row)
        assert (dead.state, dead.attempts[-1].at - began) == ("dead", pytest.approx(GIVE_UP, abs=100))
        # when
        world.outbox.deliveries.redrive([row])
    world.channel.script = []
    world.run(30)
    # then
    assert world.outbox.deliveries.get(row).state == "delivered"


def test_a_row_that_kills_every_worker_is_given_up(world):
    row = world.record()
    for _ in range(DEATHS):
        assert world.outbox.deliveries.claim(row, 10)  # and dies in the midst of it
        world.time += 10
    found = world.deliver(row)
    assert (found.state, world.channel.sent) == ("dead", [])
    assert "died" in found.attempts[0].detail and "died" in found.attempts[-1].detail
    # and a redriven one is tried again
    world.outbox.deliveries.redrive([row])
    assert world.deliver(row).state == "delivered"


def test_retry_after_is_honoured(world):
    world.channel.script = [ChannelError("answered 429", status=429, retry_after=120)]
    row = world.record()
    world.deliver(row)
    world.run(119)
    assert len(world.channel.sent) == 1
    world.run(2)
    assert world.outbox.deliveries.get(row).state == "delivered"


def test_the_wait_doubles_up_to_a_cap_with_jitter():
    waits = [[backoff(tries) for _ in range(200)] for tries in range(1, 12)]
    for tries, each in enumerate(waits):
        middle = min(2**tries, 600)
        assert 0.75 * middle <= min(each) < middle < max(each) <= 1.25 * middle


def test_a_receiver_that_asks_for_days_is_not_obeyed(world):
    world.channel.script = [ChannelError("answered 429", status=429, retry_after=1e9)]
    assert world.deliver(world.record()).next_try == NOW + LONGEST_ASKED


def test_a_fault_of_a_channel_is_a_failed_try_and_its_text_is_not_told(world, caplog):
    world.channel.script = [KeyError("https://hooks.example/T0K3N")]
    row = world.record()
    found = world.deliver(row)
    assert (found.state, found.attempts[0].detail) == ("pending", "the channel failed: KeyError")
    assert "T0K3N" not in caplog.text


def test_a_channel_that_is_gone_is_a_dead_letter_that_says_so(world):
    row = world.record()
    deliver(world.outbox, {}, row)
    [dead] = world.outbox.deliveries.dead()
    assert "no channel phone" in dead.attempts[0].detail


def test_an_alert_that_is_gone_is_a_dead_letter_that_says_so(world, redis):
    row = world.record()
    redis.delete(f"dt1:alert:{ALERT.id}")
    assert world.deliver(row).state == "dead"
    assert world.channel.sent == []


def test_the_log_channel_writes_a_line_that_can_be_found(world, caplog):
    world.outlet = ConfiguredChannel(name="phone", kind="log", channel=log_channel.Channel())
    with caplog.at_level(logging.WARNING):
        world.deliver(world.record())
    assert f"ALERT it jumped [{ALERT.id}]" in caplog.text


def test_a_real_receiver_that_fails_in_every_way_and_then_takes_it(world, server, monkeypatch):
    """Refuses, is busy, cuts the connection after the body, hangs, and takes it in the end."""
    monkeypatch.setattr(http, "READ_TIMEOUT", 1)
    over = threading.Event()
    port = free_port()
    hook = webhook.Channel(url=f"http://127.0.0.1:{port}", allow_private=True)
    world.outlet = ConfiguredChannel(name="phone", kind="webhook", channel=hook)
    row = world.record()
    refused = world.deliver(row)
    assert [(each.ok, each.status) for each in refused.attempts] == [(False, None)]

    world.outlet = ConfiguredChannel(
        name="phone", kind="webhook", channel=webhook.Channel(url=server.url, allow_private=True)
    )  # fmt: skip
    ways = [
        lambda: server.says(b"busy", 429, Retry_After="30"),
        lambda: server.says(b"oops", 500),
        lambda: server.sends(b""),
        lambda: setattr(server, "answer", lambda request: over.wait(30)),
        lambda: server.says(b"thanks"),
    ]
    for number, way in enumerate(ways, start=1):
        way()
        world.time = world.outbox.deliveries.get(row).next_try
        assert len(world.deliver(row).attempts) == number + 1
        assert len(server.posts) == number
    over.set()
    found = world.outbox.deliveries.get(row)
    assert found.state == "delivered"
    assert [each.status for each in found.attempts] == [None, 429, 500, None, None, None]
    assert found.attempts[2].at - found.attempts[1].at >= 30
    assert {post.headers["Idempotency-Key"] for post in server.posts} == {ALERT.id}


# A receiver that is away, and comes back


def metric(number):
    return replace(ALERT, metric=f"kraken:m{number:03}:volume")


@pytest.mark.parametrize("away", [10, 100, 1_000, 4_000])
@pytest.mark.parametrize("count", [1, 40])
def test_what_waits_is_delivered_within_a_minute_of_the_receivers_return(world, count, away):
    world.channel.away = True
    for number in range(count):
        world.deliver(world.record(metric(number)))
        world.run(1)
    world.run(away)
    world.channel.away = False
    world.run(PROBE + 5)
    assert {notice.key for notice in world.channel.taken} == {metric(number).id for number in range(count)}
    assert len(world.channel.taken) == count


def test_a_receiver_that_is_away_is_not_stormed(world):
    """One row probes; the others wait longer and longer."""
    world.channel.away = True
    for number in range(40):
        world.deliver(world.record(metric(number)))
    world.run(3_000)
    tried = len(world.channel.sent)
    world.run(1_000)
    assert 1_000 / PROBE < len(world.channel.sent) - tried < 40 * 1_000 / (0.75 * LONGEST) + 2 * 1_000 / PROBE


def test_a_notice_that_is_never_taken_is_tried_once_a_minute_at_most_however_many_others_are(world):
    world.channel.refused = {metric(0).id}
    world.deliver(world.record(metric(0)))
    world.run(300)
    world.channel.sent.clear()
    for number in range(1, 60):
        world.deliver(world.record(metric(number)))
        world.run(10)
    assert 0 < [key for _, key in world.told].count(metric(0).id) <= 590 / PROBE + 1


def test_no_success_of_others_overrules_what_a_receiver_asked_for(world):
    world.channel.script = [ChannelError("answered 429", status=429, retry_after=500)]
    asked = world.record(metric(0))
    world.deliver(asked)
    for number in range(1, 49):
        world.deliver(world.record(metric(number)))
        world.run(10)
    assert world.outbox.deliveries.get(asked).state == "pending"
    world.run(30)
    assert world.outbox.deliveries.get(asked).state == "delivered"


def test_a_row_that_probes_and_is_held_back_leaves_another_to_probe(world):
    world.channel.away = True
    for number in range(20):
        world.deliver(world.record(metric(number)))
    world.run(2_000)
    probe = world.outbox.deliveries.pending(1)[0]
    world.silence(10_000, match=probe.alert.partition(":")[2].rpartition(":")[0])
    world.run(PROBE)
    assert world.outbox.deliveries.get(probe.id).state == "silenced"
    world.channel.away = False
    world.run(PROBE + 5)
    assert len(world.channel.taken) == 19


def test_a_real_receiver_gets_all_that_waited_within_a_minute_of_its_return(world, server):
    hook = webhook.Channel(url=server.url, allow_private=True)
    world.outlet = ConfiguredChannel(name="phone", kind="webhook", channel=hook)
    server.says(b"away", 503)
    rows = [world.record(metric(number)) for number in range(5)]
    for row in rows:
        world.deliver(row)
    world.run(1_200)
    tried = len(server.posts)
    assert 1_200 / PROBE < tried < 100
    server.says(b"thanks")
    world.run(PROBE + 5)
    assert {row.state for row in world.outbox.deliveries.all(rows)} == {"delivered"}
    assert len(server.posts) == tried + len(rows)


# Resolved


def resolve(world, id=ALERT.id):
    [row] = world.outbox.resolve(id, NOW + 60, ["phone"])
    return row


def test_a_resolved_notice_has_the_key_of_its_alert(world):
    world.deliver(world.record())
    world.deliver(resolve(world))
    firing, resolved = world.channel.sent
    assert (resolved.event, resolved.key) == ("resolved", firing.key)
    assert resolved.id != firing.id
    assert world.outbox.get(ALERT.id).resolved_at == NOW + 60


def test_an_alert_is_resolved_once(world):
    world.record()
    resolve(world)
    assert world.outbox.resolve(ALERT.id, NOW + 61, ["phone"]) == []
    assert world.outbox.firing() == {}


def test_resolved_waits_until_firing_was_told(world):
    world.channel.script = [ChannelError("answered 500", status=500)]
    world.deliver(world.record())
    world.deliver(resolve(world))
    world.run(30)
    assert world.told == [("firing", ALERT.id), ("firing", ALERT.id), ("resolved", ALERT.id)]


def test_resolved_is_not_told_where_firing_never_was(world):
    world.channel.script = [ChannelError("answered 404", permanent=True)]
    world.deliver(world.record())
    assert world.deliver(resolve(world)).state == "silenced"
    assert len(world.channel.sent) == 1


# Silences


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
    # and so is its end
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
    assert world.outbox.deliveries.claim(row, 10)  # and dies in the midst of it: the notice may have been sent
    resolve(world)
    world.run(60)
    assert world.told == [("firing", ALERT.id), ("resolved", ALERT.id)]


def test_a_row_that_is_held_while_its_silence_is_removed_is_released_by_a_later_sweep(world):
    """A worker may have read the silences before one of them went, and note the row after that."""
    row = world.record()
    claimed, token = world.outbox.deliveries.claim(row, 10)
    world.outbox.deliveries.hold(claimed, token, "gone", "by silence gone")
    world.run(1)
    assert world.told == [("firing", ALERT.id)]


def test_a_storm_that_a_silence_held_back_is_under_the_ceiling_too(world):
    world.outlet = replace(world.outlet, ceiling=5, window=60)
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
    redis.delete(f"dt1:delivery:{row}", f"dt1:alert:{ALERT.id}")  # a week later
    world.silences.remove(id)
    world.run(20)
    assert world.told == []
    assert redis.keys("dt1:held*") == [] and redis.zcard("dt1:due") == 0


def test_a_firing_notice_that_is_redriven_after_its_end_is_followed_by_it(world):
    world.channel.script = [ChannelError("answered 404", permanent=True)]
    row = world.record()
    world.deliver(row)
    assert world.deliver(resolve(world)).state == "silenced"
    world.outbox.deliveries.redrive([row])
    world.run(60)
    assert world.told == [("firing", ALERT.id)] * 2 + [("resolved", ALERT.id)]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_is_told_twice_and_whoever_was_told_hears_the_end(redis, data):
    """Random histories of fire, silence, clear, and of tasks that run twice, late, or not at all."""
    redis.flushall()
    world = World(redis)
    alerts = [replace(ALERT, metric=f"kraken:m{number}:volume") for number in range(2)]
    recorded, rows = [], []
    for step in data.draw(st.lists(st.sampled_from(["fire", "clear", "silence", "end", "task", "sweep", "wait"]))):
        if step == "fire" and len(recorded) < len(alerts):
            rows.append(world.record(alerts[len(recorded)]))
            recorded.append(alerts[len(recorded)])
        elif step == "clear" and recorded:
            rows += world.outbox.resolve(data.draw(st.sampled_from(recorded)).id, world.time, ["phone"])
        elif step == "silence":
            world.silence(data.draw(st.integers(1, 60)), data.draw(st.sampled_from(["*", "*:m0:*", "*:m1:*"])))
        elif step == "end" and (silences := world.silences.all(world.time)):
            world.silences.remove(data.draw(st.sampled_from(silences)).id)
        elif step == "task" and rows:
            world.deliver(data.draw(st.sampled_from(rows)))
        elif step == "sweep":
            due(world.outbox, 100)  # and all that it publishes is lost
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
    assert redis.zcard("dt1:due") == 0 and redis.keys("dt1:held*") == []


# The ceiling


def storm(world, count):
    alerts = [replace(ALERT, metric=f"kraken:p{n:03}:volume", value=300.0 + n, text=f"p{n:03}") for n in range(count)]
    rows = [world.record(alert) for alert in alerts]
    for row in rows:
        world.deliver(row)
    return rows


def test_a_storm_becomes_a_handful_of_messages_and_every_alert_is_recorded(world):
    world.outlet = replace(world.outlet, ceiling=5, window=60)
    rows = storm(world, 300)
    world.run(130)
    assert [event for event, _ in world.told] == ["firing"] * 5 + ["digest"]
    assert len(world.outbox.newest(1_000)) == 300
    states = [row.state for row in world.outbox.deliveries.all(rows)]
    assert states == ["delivered"] * 5 + ["digested"] * 295
    # and the digest says how many of what, and the largest
    digest = world.channel.sent[-1]
    assert digest.title == "295 more alerts"
    assert digest.text.splitlines()[:2] == ["295 x jump", "p299"]
    assert digest.text.splitlines()[-1] == "and 285 more"
    assert world.outbox.deliveries.get(digest.id).state == "delivered"


def test_each_window_has_its_own_ceiling(world):
    world.outlet = replace(world.outlet, ceiling=1, window=60)
    world.time = NOW // 60 * 60
    storm(world, 1)
    world.time += 60
    assert world.deliver(world.record(replace(ALERT, slot=ALERT.slot + 3_600))).state == "delivered"


def test_a_digest_that_fails_is_tried_again_with_what_it_told(world):
    world.outlet = replace(world.outlet, ceiling=1, window=60)
    world.channel.script = [None, ChannelError("answered 500", status=500)]
    storm(world, 3)
    world.run(130)
    digests = [notice for notice in world.channel.sent if notice.event == "digest"]
    assert len(digests) == 2
    assert (digests[0].id, digests[0].text) == (digests[1].id, digests[1].text)


def test_a_digest_that_was_claimed_takes_no_more_rows(world):
    world.outlet = replace(world.outlet, ceiling=1, window=60)
    world.time = NOW // 60 * 60
    storm(world, 2)
    # given a digest that is being sent when one more comes that was late for this window
    world.time += 60
    [digest] = [row for row in world.outbox.deliveries.due(10) if row.startswith("digest:")]
    world.outbox.deliveries.claim(digest, 10)
    world.time -= 1
    late = world.record(replace(ALERT, metric="kraken:late:volume"))
    world.deliver(late)
    # then the next one tells it
    world.run(200)
    assert [notice.title for notice in world.channel.sent if notice.event == "digest"] == ["1 more alert"] * 2
    assert world.outbox.deliveries.get(late).state == "digested"


# Acknowledgement


def test_who_took_an_alert_on_is_noted(world):
    world.record()
    assert world.outbox.acknowledge(ALERT.id, "kim", "looking", NOW)
    assert not world.outbox.acknowledge("no:such:1", "kim", "looking", NOW)
    assert world.outbox.get(ALERT.id).acknowledged == {"by": "kim", "at": NOW, "comment": "looking"}
