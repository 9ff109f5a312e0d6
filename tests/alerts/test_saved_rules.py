"""Rules that are saved over the API: versions, one change at a time, and when workers have them."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.tracked import SLOTS, Tracked, spread
from tracker import pipeline
from tracker.alerts import saved_rules
from tracker.alerts.outbox import Outbox
from tracker.alerts.rulebook import Rulebook
from tracker.alerts.rules import DEFAULT_RULES, Ratio
from tracker.alerts.saved_rules import Outdated, RulesInForce, SavedRules
from tracker.errors import TrackerError

JUMP = {"kind": "ratio", "factor": 5}


@pytest.fixture
def saved(redis) -> SavedRules:
    return SavedRules(redis)


def test_each_change_is_a_version_with_who_and_when(saved):
    first = saved.save("jump", JUMP, 0, "kim", 1.5)
    saved.save("other", JUMP, 0, "lee", 2)
    second = saved.save("jump", JUMP | {"factor": 6}, first.version, "lee", 3)
    saved.save("jump", None, second.version, "kim", 4)
    assert [*saved.all()] == ["other"]
    told = [(each.table and each.table["factor"], each.by, each.at) for each in saved.versions("jump")]
    assert told == [(None, "kim", 4), (6, "lee", 3), (5, "kim", 1.5)]
    again = saved.save("jump", JUMP, 0, "kim", 5)
    assert saved.all()["jump"] == again and again.version > second.version


def test_a_change_of_what_is_not_the_newest_is_refused(saved):
    first = saved.save("jump", JUMP, 0, "kim", 1)
    second = saved.save("jump", JUMP, first.version, "kim", 2)
    for known in (0, first.version, 99):
        with pytest.raises(Outdated):
            saved.save("jump", JUMP, known, "lee", 3)
    assert saved.all() == {"jump": second}


def test_of_changes_at_once_one_counts(saved):
    first = saved.save("jump", JUMP, 0, "kim", 1)

    def change(number):
        try:
            return saved.save("jump", JUMP | {"factor": 10 + number}, first.version, "kim", number)
        except Outdated:
            return None

    with ThreadPoolExecutor(8) as pool:
        done = [each for each in pool.map(change, range(8)) if each]
    assert done == [saved.all()["jump"]]
    assert len(saved.versions("jump")) == 2


def test_a_change_that_is_repeated_after_a_lost_connection_is_one(saved):
    first = saved.save("jump", JUMP, 0, "kim", 1)
    assert saved.save("jump", JUMP, 0, "kim", 1) == first
    assert saved.versions("jump") == [first]


def test_rules_and_versions_are_bounded(saved, redis, monkeypatch):
    monkeypatch.setattr(saved_rules, "MOST", 1)
    monkeypatch.setattr(saved_rules, "MOST_VERSIONS", 3)
    version = saved.save("jump", JUMP, 0, "kim", 0)
    for at in range(1, 6):
        version = saved.save("jump", JUMP, version.version, "kim", at)
    assert [each.at for each in saved.versions("jump")] == [5, 4, 3]
    with pytest.raises(TrackerError, match="1 saved rules already: delete some"):
        saved.save("more", JUMP, 0, "kim", 9)
    key = saved_rules.VERSIONS + "jump"
    assert redis.ttl(key) == -1
    gone = saved.save("jump", None, version.version, "kim", 10)
    assert 0 < redis.ttl(key) <= saved_rules.KEPT and gone.table is None
    saved.save("jump", JUMP, 0, "kim", 11)
    assert redis.ttl(key) == -1


def test_workers_notice_a_change_and_the_file_comes_first(saved, monkeypatch):
    rules = RulesInForce(Rulebook(""), saved)
    assert rules.current().rules == DEFAULT_RULES
    version = saved.save("jump", JUMP, 0, "kim", 1)
    assert rules.current().rules == DEFAULT_RULES, "it does not ask each time"
    monkeypatch.setattr(saved_rules, "UNASKED", 0)
    assert rules.current().rules == (*DEFAULT_RULES, Ratio(name="jump", factor=5))
    saved.save(DEFAULT_RULES[0].name, JUMP, 0, "kim", 1)
    assert rules.current().rules == (*DEFAULT_RULES, Ratio(name="jump", factor=5))
    saved.save("jump", None, version.version, "kim", 2)
    assert rules.current().rules == DEFAULT_RULES


def test_a_rule_that_cannot_be_read_is_left_out_and_the_log_says_so(saved, caplog):
    saved.save("of-later", {"kind": "sunspots"}, 0, "kim", 1)
    saved.save("jump", JUMP, 0, "kim", 1)
    with caplog.at_level(logging.ERROR):
        found = RulesInForce(Rulebook(""), saved).current().rules
    assert [rule.name for rule in found] == [DEFAULT_RULES[0].name, "jump"]
    assert "THE SAVED RULE of-later IS NOT IN FORCE: kind = 'sunspots': expected one of ratio" in caplog.text


def test_a_saved_rule_makes_alerts(saved, store_server):
    tracked = Tracked(store_server.url)
    saved.save("jump", JUMP, 0, "kim", 1)
    volumes = spread(100, 1)
    volumes[-1] = 900
    tracked.watch("kraken:btcusd")
    tracked.put("kraken:btcusd", volumes, SLOTS)
    book = RulesInForce(Rulebook(""), saved).current()
    found = pipeline.evaluate(tracked.store, Outbox(tracked.store.redis), book.rules, ["kraken:btcusd"], tracked.now)
    assert {alert.rule for alert in found.alerts} == {DEFAULT_RULES[0].name, "jump"}
