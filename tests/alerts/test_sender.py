"""The outcome of a send, with real channels and a clock that the test sets."""

import logging
import threading
from dataclasses import replace

import pytest

from tests.support.counting import counts
from tests.support.sending import ALERT, NOW, resolve
from tests.support.servers import free_port
from tracker import http
from tracker.alerts.channels import ConfiguredChannel, webhook
from tracker.alerts.channels import log as log_channel
from tracker.alerts.deliveries import GIVE_UP
from tracker.alerts.sender import DEATHS, LONGEST, LONGEST_ASKED, backoff, deliver
from tracker.alerts.waiting import PROBE
from tracker.errors import ChannelError
from tracker.models import Notice


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
    assert {notice.id for notice in world.channel.sent} == {ALERT.id}  # so a receiver sees that it is the same notice


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
        assert world.outbox.deliveries.claim(row, 10)  # and the worker dies
        world.time += 10
    found = world.deliver(row)
    assert (found.state, world.channel.sent) == ("dead", [])
    assert "died" in found.attempts[0].detail and "died" in found.attempts[-1].detail
    # and it is tried again after a redrive
    world.outbox.deliveries.redrive([row])
    assert world.deliver(row).state == "delivered"


def test_tries_are_counted_by_channel_and_result(world):
    gone = ChannelError("answered 404", permanent=True, status=404)
    for result, script in (("delivered", []), ("failed", [ChannelError("answered 500")]), ("dead", [gone])):
        world.channel.script = script
        row = world.record(replace(ALERT, slot=ALERT.slot + 60 * len(world.channel.sent)))
        with counts("tracker_deliveries_total", channel=row.split("/")[1], result=result):
            world.deliver(row)


def test_the_age_of_the_oldest_notice_that_waits_is_known(world):
    assert world.outbox.deliveries.oldest_pending() is None
    row = world.record()
    assert world.outbox.deliveries.oldest_pending() == NOW
    world.channel.script = [ChannelError("answered 500")]
    world.deliver(row)
    assert world.outbox.deliveries.oldest_pending() == NOW
    world.run(30)
    assert world.outbox.deliveries.oldest_pending() is None


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
    redis.delete(f"{{dt1}}:alert:{ALERT.id}")
    assert world.deliver(row).state == "dead"
    assert world.channel.sent == []


def test_the_log_channel_writes_a_line_that_can_be_found(world, caplog):
    world.outlet = ConfiguredChannel(name="phone", kind="log", channel=log_channel.Channel())
    with caplog.at_level(logging.WARNING):
        world.deliver(world.record())
    assert f"ALERT it jumped [{ALERT.id}]" in caplog.text


def test_a_digest_is_one_line_of_the_log_with_its_title(caplog):
    with caplog.at_level(logging.WARNING):
        log_channel.Channel().send(Notice("late:60/log/digest", "late:60", "digest", "info", "While away", "a\nb", 0.0))
    assert caplog.messages == ["DIGEST While away | a | b [late:60]"]


def test_a_real_receiver_that_fails_in_every_way_and_then_takes_it(world, server, monkeypatch):
    """The receiver refuses, is busy, cuts the connection after the body, hangs, and at last accepts."""
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
    """One row probes the receiver. The others wait longer and longer."""
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


def test_a_resolved_notice_has_the_key_of_its_alert(world):
    world.deliver(world.record())
    world.deliver(resolve(world))
    firing, resolved = world.channel.sent
    assert (resolved.event, resolved.key) == ("resolved", firing.key)
    assert resolved.title == f"Resolved: {firing.title}" == "Resolved: jump: kraken:btcusd:volume"
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


def test_who_took_an_alert_on_is_noted(world):
    world.record()
    assert world.outbox.acknowledge(ALERT.id, "kim", "looking", NOW)
    assert not world.outbox.acknowledge("no:such:1", "kim", "looking", NOW)
    assert world.outbox.get(ALERT.id).acknowledged == {"by": "kim", "at": NOW, "comment": "looking"}
