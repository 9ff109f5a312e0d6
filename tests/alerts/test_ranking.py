"""A metric that enters the top of its ranking is told once, and again only after it has left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.alerts import ranking
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import Ranked
from tracker.models import Metric
from tracker.series.stats import Stats

NOW = 1_700_000_065.0
TOP = Ranked(name="wild", top=2, leave=3, cooldown=0, channels=("phone",))


class Board:
    """Metrics whose standard deviations the test sets."""

    def __init__(self, store):
        self.store, self.outbox, self.now = store, Outbox(store.redis), NOW

    def ranks(self, *pairs, field="volume"):
        """Makes this the whole ranking of ``field``, the largest first."""
        known = {Metric.parse(id).market.partition(":")[2] for id in self.store.ranking(field)}
        for pair in known - set(pairs):
            self.save(pair, field, np.nan)
        for score, pair in enumerate(reversed(pairs), start=1):
            self.save(pair, field, float(score))

    def save(self, pair, field, score):
        number = np.array([score])
        stats = Stats(np.array([9]), *[number] * 7)
        self.store.finish([self.store.begin_save([Metric(f"x:{pair}", field)], stats, self.now)])

    def check(self, rules=(TOP,)):
        """The pairs of the alerts, and the rows to send, a minute after the check before."""
        self.now += 60
        found = ranking.check(self.store, self.outbox, rules, self.now, ("phone",))
        return [Metric.parse(alert.metric).market[2:] for alert in found.alerts], found.rows


@pytest.fixture
def board(store):
    return Board(store)


def test_what_enters_the_top_is_told_and_what_was_there_at_the_first_check_is_not(board):
    board.ranks("a", "b", "c", "d", "e")
    assert board.check() == ([], [])
    board.ranks("a", "e", "b", "c", "d")
    told, [row] = board.check()
    assert told == ["e"]
    alert = board.outbox.newest()[0]
    assert row == f"{alert.id}/phone/firing"
    assert alert.text == "x:e:volume: number 2 of 5 by standard deviation over 24 h, in the top 2"
    assert (alert.value, alert.factor, alert.samples, alert.window) == (2, 2, 5, 86_400)
    assert alert.details == {"position": 2, "of": 5, "by": "stddev"}
    assert board.check() == ([], [])


def test_it_is_over_behind_the_position_where_it_leaves_and_not_before(board):
    board.ranks("a", "b", "c", "d", "e")
    board.check()
    board.ranks("e", "a", "b", "c", "d")
    assert board.check()[0] == ["e"]
    # when it moves between the top and the position where it leaves, nothing happens
    for order in ("abecd", "aebcd", "abecd", "eabcd"):
        board.ranks(*order)
        assert board.check() == ([], [])
    [alert] = board.outbox.newest()
    board.ranks(*"abced")
    assert board.check() == ([], [f"{alert.id}/phone/resolved"])
    board.ranks(*"eabcd")
    assert board.check()[0] == ["e"]


def test_nothing_enters_while_the_ranking_grows(board):
    board.ranks("a", "b")
    board.check()
    board.ranks("c", "d", "a", "b")
    assert board.check()[0] == []
    board.ranks("d", "e", "c", "a", "b")
    assert board.check()[0] == []
    board.ranks("d", "b", "e", "c", "a")
    assert board.check()[0] == ["b"]  # pushed out by the new ones, and back
    board.ranks("d", "a", "b", "e", "c")
    assert board.check()[0] == ["a"]


def test_an_empty_ranking_begins_anew(board):
    assert board.check() == ([], [])
    board.ranks("a", "b", "c")
    assert board.check() == ([], [])
    board.ranks()
    assert board.check() == ([], [])
    board.ranks("c", "b", "a")
    assert board.check() == ([], [])


def test_fields_and_rules_have_tops_of_their_own(board):
    prices = Ranked(name="prices", top=1, match=("*:price",), cooldown=0, by="cv")
    for field in ("price", "volume"):
        board.ranks("a", "b", "c", "d", field=field)
    assert board.check((TOP, prices)) == ([], [])
    board.ranks("d", "a", "b", "c", field="price")
    board.check((TOP, prices))
    assert sorted((alert.rule, alert.metric) for alert in board.outbox.newest()) == [
        ("prices", "x:d:price"), ("wild", "x:d:price"),
    ]  # fmt: skip


def test_a_rule_that_changed_and_one_that_was_not_checked_for_an_hour_begin_anew(board):
    board.ranks("a", "b", "c", "d", "e")
    board.check()
    wider = Ranked(name="wild", top=4, cooldown=0)
    assert board.check((wider,)) == ([], [])
    assert board.check((TOP,)) == ([], [])
    for key in board.store.redis.keys("{dt1}:top:*"):
        assert 0 < board.store.redis.ttl(key) <= ranking.LIFE
        board.store.redis.delete(key)
    board.ranks("e", "d", "a", "b", "c")
    assert board.check() == ([], [])


def test_a_check_that_was_cut_off_after_its_alert_makes_no_other(board, monkeypatch):
    board.ranks("a", "b", "c", "d")
    board.check()
    before = board.store.redis.hgetall("{dt1}:top:wild:volume")
    board.ranks("d", "a", "b", "c")
    assert board.check()[0] == ["d"]
    board.store.redis.delete("{dt1}:top:wild:volume")
    board.store.redis.hset("{dt1}:top:wild:volume", mapping=before)
    assert board.check() == ([], [])
    assert len(board.outbox.newest()) == 1


def test_without_a_rule_nothing_is_read(board):
    assert ranking.check(board.store, board.outbox, (), NOW).rows == []


@pytest.mark.parametrize("options", [{"top": 0}, {"top": 5, "leave": 4}, {"by": "mean"}, {"message": "{cause}"}, {}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        Ranked(**{"top": 5} | options if options else {})


def test_a_fifth_more_positions_leave_by_default_and_two_at_least():
    assert [Ranked(top=top).last for top in (1, 10, 50)] == [3, 12, 60]
    assert Ranked(top=10, leave=10).last == 10


@settings(max_examples=100)
@given(st.lists(st.permutations("abcdef"), min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 3))
def test_whatever_the_orders_a_metric_enters_again_only_after_it_left(orders, top, more):
    rule = Ranked(top=top, leave=top + more)
    metrics = {pair: f"x:{pair}:volume" for pair in "abcdef"}
    members, expected = set(), dict.fromkeys(metrics, False)
    for order in orders:
        leaders = [metrics[pair] for pair in order]
        entering, leaving = rule.entering(leaders, members), rule.leaving(leaders, members)
        members = (members | entering.keys()) - leaving
        for at, pair in enumerate(order, start=1):
            assert (metrics[pair] in entering) == (at <= top and not expected[pair])
            expected[pair] = at <= top or (expected[pair] and at <= top + more)
        assert members == {metrics[pair] for pair, inside in expected.items() if inside}
