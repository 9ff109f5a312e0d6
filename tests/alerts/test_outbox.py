"""Recording alerts: each is stored once, the cooldown refuses others, and the newest come first."""

import threading
from dataclasses import replace

import pytest

from tests.support.servers import free_port
from tracker.alerts.outbox import Outbox
from tracker.errors import StoreError
from tracker.models import Alert
from tracker.store.connection import connect

HOUR = 3_600
ALERT = Alert(
    "above-3x", "kraken:btcusd:volume", 1_700_000_040, 301.5, 100.1, 3.0, 60, HOUR, 1_700_000_071.25, text="a text"
)


@pytest.fixture
def outbox(redis):
    return Outbox(redis)


def later(seconds, **changes):
    return replace(ALERT, slot=ALERT.slot + seconds, **changes)


def test_what_was_recorded_comes_back_as_it_was(outbox):
    assert outbox.record(ALERT, HOUR)
    assert outbox.get(ALERT.id) == ALERT
    assert outbox.newest() == [ALERT]


@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1e18, 123_456_789.123_456_79])
def test_numbers_keep_every_digit(outbox, value):
    alert = replace(ALERT, value=value, baseline=value / 3, factor=3)
    outbox.record(alert, HOUR)
    assert outbox.get(alert.id) == alert


def test_an_alert_is_recorded_once_however_often_it_is_found(outbox):
    assert outbox.record(ALERT, HOUR)
    for found in (ALERT, replace(ALERT, value=999.0, at=ALERT.at + 60)):
        assert not outbox.record(found, HOUR)
    assert outbox.newest() == [ALERT]


def test_without_a_cooldown_too(outbox):
    assert outbox.record(ALERT, 0)
    assert not outbox.record(ALERT, 0)
    assert outbox.record(later(60), 0)


def test_within_the_cooldown_a_metric_has_one_alert(outbox):
    assert outbox.record(ALERT, HOUR)
    assert not outbox.record(later(60), HOUR)
    assert not outbox.record(later(HOUR - 60), HOUR)
    assert outbox.record(later(HOUR), HOUR)
    assert [alert.slot - ALERT.slot for alert in outbox.newest()] == [HOUR, 0]


def test_an_earlier_edge_found_later_is_within_the_cooldown(outbox):
    assert outbox.record(ALERT, HOUR)
    assert not outbox.record(later(-60), HOUR)


def test_other_metrics_and_rules_have_their_own_cooldown(outbox):
    assert outbox.record(ALERT, HOUR)
    assert outbox.record(replace(ALERT, metric="kraken:ethusd:volume"), HOUR)
    assert outbox.record(replace(ALERT, rule="above-5x"), HOUR)
    assert len(outbox.newest()) == 3


def test_the_newest_come_first_and_no_more_than_asked_for(outbox):
    for minute in range(5):
        outbox.record(later(60 * minute), 60)
    assert [(alert.slot - ALERT.slot) // 60 for alert in outbox.newest(3)] == [4, 3, 2]


def test_an_unknown_alert_is_none(outbox):
    assert outbox.get("no/such/1") is None
    assert outbox.newest() == []


def test_an_alert_whose_life_is_over_is_not_listed(outbox, redis):
    outbox.record(ALERT, 60)
    outbox.record(later(60), 60)
    redis.delete(f"{{dt1}}:alert:{ALERT.id}")
    assert outbox.newest() == [later(60)]


def test_the_record_of_a_cooldown_outlives_it(outbox, redis):
    outbox.record(ALERT, 30 * 86_400)
    [key] = redis.keys("{dt1}:fired:*")
    assert redis.ttl(key) > 29 * 86_400


def test_twenty_threads_that_find_the_same_alert_make_one(store_server, outbox):
    barrier, made = threading.Barrier(20), []

    def record(number):
        with connect(store_server.url) as redis:
            barrier.wait()
            alert = later(60 * (number % 3))  # three alerts within one cooldown
            if Outbox(redis).record(alert, HOUR):
                made.append(alert)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert outbox.newest() == made


def test_a_server_that_is_away_is_a_store_error():
    outbox = Outbox(connect(f"redis://127.0.0.1:{free_port()}/0", tries=1))
    for call in (lambda: outbox.record(ALERT, HOUR), lambda: outbox.get(ALERT.id), outbox.newest):
        with pytest.raises(StoreError):
            call()
