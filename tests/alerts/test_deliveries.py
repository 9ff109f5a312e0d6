"""Rows of the outbox: one task at a time may send a row, even if workers die."""

import threading
from collections import Counter

import pytest

from tests.support.notices import ALERT, FAILED
from tests.support.servers import free_port
from tracker.alerts.deliveries import GRACE, LIFE, Deliveries
from tracker.alerts.outbox import Outbox
from tracker.alerts.rows import ATTEMPTS
from tracker.errors import StoreError
from tracker.models import Alert, Attempt, Delivery
from tracker.store.connection import connect

ROW = f"{ALERT.id}/phone/firing"
SENT = Attempt(6.0, True, None, "answered 200")
LEASE = 20


class HandClock:
    def __init__(self):
        self.time = 1_700_000_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def outbox(redis, clock):
    return Outbox(redis, clock)


@pytest.fixture
def rows(outbox):
    outbox.record(ALERT, 60, ["phone", "mail"])
    return outbox.deliveries


def test_an_alert_has_a_pending_row_for_each_channel(outbox, rows):
    _, _, deliveries = outbox.explained(ALERT.id)
    assert [(row.channel, row.event, row.state, row.attempts) for row in deliveries] == [
        ("phone", "firing", "pending", ()),
        ("mail", "firing", "pending", ()),
    ]


def test_a_row_is_sent_by_one_at_a_time(rows, clock):
    row, _ = rows.claim(ROW, LEASE)
    assert row.id == ROW
    assert rows.claim(ROW, LEASE) is None
    # until the lease of the dead claimant ends, which counts as a try
    clock.time += LEASE
    row, _ = rows.claim(ROW, LEASE)
    assert (row.tries, [each.ok for each in row.attempts]) == (1, [False])
    assert "died" in row.attempts[0].detail
    assert rows.get(ROW).attempts == row.attempts


def test_what_was_delivered_is_not_claimed_again(rows, clock):
    row, _ = rows.claim(ROW, LEASE)
    rows.settle(row, "delivered", SENT)
    clock.time += 10 * LEASE
    assert rows.claim(ROW, LEASE) is None
    assert rows.due(10) == [f"{ALERT.id}/mail/firing"]
    stored = rows.get(ROW)
    assert (stored.state, stored.attempts, stored.next_try) == ("delivered", (SENT,), None)


def test_a_row_that_failed_waits_for_its_time(rows, clock):
    row, token = rows.claim(ROW, LEASE)
    rows.fail(row, token, FAILED, 100)
    assert rows.claim(ROW, LEASE) is None
    clock.time += 99
    assert ROW not in rows.due(10)
    clock.time += 1
    assert ROW in rows.due(10)
    row, _ = rows.claim(ROW, LEASE)
    assert (row.tries, row.attempts) == (1, (FAILED,))


def test_a_row_whose_task_was_lost_is_due_after_a_while(rows, clock):
    assert rows.due(10) == []
    clock.time += GRACE
    assert sorted(rows.due(10)) == sorted([ROW, f"{ALERT.id}/mail/firing"])
    assert rows.due(10) == []  # their tasks are under way
    clock.time += GRACE
    assert len(rows.due(10)) == 2


def test_no_more_rows_are_due_at_a_time_than_asked_for(rows, clock):
    clock.time += GRACE
    assert len(rows.due(1)) == 1 and len(rows.due(1)) == 1 and rows.due(1) == []


def test_a_row_whose_claimant_died_is_due_when_the_lease_is_over(rows, clock):
    rows.claim(ROW, LEASE)
    clock.time += LEASE - 1
    assert ROW not in rows.due(10)
    clock.time += 1
    assert ROW in rows.due(10)


def test_who_lost_the_lease_does_not_undo_what_the_next_one_did(rows, clock):
    row, token = rows.claim(ROW, LEASE)
    clock.time += LEASE
    second, _ = rows.claim(ROW, LEASE)
    # the first claimant records a failure, then the second a delivery
    rows.fail(row, token, FAILED, 100)
    assert FAILED not in rows.get(ROW).attempts
    rows.settle(second, "delivered", SENT)
    rows.settle(row, "dead", FAILED)
    assert rows.get(ROW).state == "delivered"
    assert rows.dead() == []


def test_who_lost_the_lease_and_delivered_has_delivered(rows, clock):
    row, _ = rows.claim(ROW, LEASE)
    clock.time += LEASE
    second, _ = rows.claim(ROW, LEASE)
    rows.settle(second, "dead", FAILED)
    rows.settle(row, "delivered", SENT)
    assert rows.get(ROW).state == "delivered"
    assert rows.dead() == []


def test_the_dead_are_listed_and_redriven(rows, clock):
    row, _ = rows.claim(ROW, LEASE)
    rows.settle(row, "dead", FAILED)
    assert [(dead.id, dead.attempts) for dead in rows.dead()] == [(ROW, (FAILED,))]
    assert rows.due(10) == []
    # when
    assert rows.redrive([ROW, f"{ALERT.id}/mail/firing", "no/such/row"]) == [ROW]
    # then it is due at once with all its tries, and its old attempts are kept
    assert rows.dead() == [] and rows.due(10) == [ROW]
    row, _ = rows.claim(ROW, LEASE)
    assert (row.tries, row.attempts) == (0, (FAILED,))


def test_the_newest_attempts_are_kept(rows, clock):
    for number in range(ATTEMPTS + 3):
        row, token = rows.claim(ROW, LEASE)
        rows.fail(row, token, Attempt(number, False, None, "no"), 0)
    assert [each.at for each in rows.get(ROW).attempts] == list(range(3, ATTEMPTS + 3))
    assert rows.get(ROW).tries == ATTEMPTS + 3


def test_rows_live_as_long_as_their_alert(rows, redis, clock):
    for key in redis.scan_iter("{dt1}:delivery:*"):
        assert LIFE - 60 < redis.ttl(key) <= LIFE
        redis.delete(key)  # a week later
    clock.time += GRACE
    assert rows.due(10) == []
    assert redis.zcard("{dt1}:due") == 0


def test_many_at_once_send_each_row_once(store_server, outbox, clock):
    """Twenty threads claim ten rows. Each row is claimed and settled once."""
    for number in range(10):
        outbox.record(Alert("jump", f"kraken:p{number}:volume", 60, 3.0, 1.0, 3.0, 60, 3_600, 60.0), 60, ["phone"])
    claimed, barrier = Counter(), threading.Barrier(20)

    def work():
        with connect(store_server.url) as redis:
            mine = Deliveries(redis, clock)
            barrier.wait()
            for number in range(10):
                if found := mine.claim(f"jump:kraken:p{number}:volume:60/phone/firing", LEASE):
                    claimed[found[0].id] += 1
                    mine.settle(found[0], "delivered", SENT)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(claimed.values()) == [1] * 10
    assert {row.state for row in outbox.deliveries.all(list(claimed))} == {"delivered"}


def test_a_server_that_is_away_is_a_store_error():
    rows = Deliveries(connect(f"redis://127.0.0.1:{free_port()}/0", tries=1), HandClock())
    row = Delivery("a", "b", "c")
    for call in (
        lambda: rows.claim("a/b/c", 1),
        lambda: rows.settle(row, "dead", FAILED),
        lambda: rows.due(1),
        rows.dead,
        lambda: rows.redrive(["a/b/c"]),
    ):
        with pytest.raises(StoreError):
            call()
