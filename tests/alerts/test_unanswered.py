"""A market for which its source gives no answer while it answers for others, and a market without trades."""

import numpy as np
import pytest

from tracker import pipeline
from tracker.alerts import unanswered
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import Silent
from tracker.models import Market

NOW = 1_700_000_065.0
QUIET = Silent(name="quiet", after=300, channels=("phone",))


class Source:
    """A source with three markets; the test says what it answers, and when."""

    def __init__(self, store):
        self.store, self.outbox = store, Outbox(store.redis)
        store.watch("one", [Market(f"x:{pair}", pair[:1], pair[1:]) for pair in ("ab", "cd", "ef")])

    def answers(self, at, volume=1.0, **slots):
        """Stores an answer at ``at`` for each pair, with so many minutes of ``volume`` before the slot in progress."""
        for pair, count in slots.items():
            last = self.store.ring.slot(at)
            times = np.arange(last - 60 * count, last + 60, 60)
            both = np.column_stack([np.ones(len(times)), np.full(len(times), volume)])
            self.store.write("one", f"x:{pair}", times, both, at, new=True)

    def check(self, now, rules=(QUIET,)):
        return unanswered.check(self.store, self.outbox, rules, ["one"], now, ("phone",))

    def evaluate(self, now):
        return pipeline.evaluate(self.store, self.outbox, [QUIET], ["x:ab"], now, ("phone",)).alerts


@pytest.fixture
def source(store):
    return Source(store)


def test_a_market_without_an_answer_is_told_once_and_when_it_is_answered_again(source):
    source.answers(NOW, ab=60, cd=60, ef=60)
    for later in (100, 200, 300):
        source.answers(NOW + later, cd=2, ef=2)
        assert source.check(NOW + later).alerts == []
    source.answers(NOW + 301, cd=2)
    found = source.check(NOW + 310)
    [alert] = found.alerts
    assert (alert.id, alert.value) == (f"quiet:x:ab:price:{int(NOW // 60 * 60)}", 310)
    assert alert.text == "x:ab:price: no answer for 310 s, more than 300 s"
    assert found.rows == [f"{alert.id}/phone/firing"]
    assert source.outbox.get(alert.id).details == {"cause": "no answer"}
    source.answers(NOW + 400, cd=2, ef=2)
    assert source.check(NOW + 410).alerts == []
    # when
    source.answers(NOW + 420, ab=7, volume=0.0)
    # then its silence goes on, and it is another one
    assert source.check(NOW + 430).rows == [f"{alert.id}/phone/resolved"]
    [silent] = source.evaluate(NOW + 430)
    assert (silent.metric, silent.details) == ("x:ab:volume", {"cause": "no trades"})
    assert source.check(NOW + 440).rows == []


def test_a_source_that_answers_for_nobody_is_not_told_market_by_market(source):
    source.answers(NOW, ab=60)
    source.answers(NOW + 55, cd=60, ef=60)
    for later in (200, 301, 320, 400, 4_000):
        assert source.check(NOW + later).alerts == []
    # and nothing is over because of that
    source.answers(NOW + 4_000, cd=2, ef=2)
    [alert] = source.check(NOW + 4_010).alerts
    assert source.check(NOW + 9_000).rows == []
    assert source.outbox.get(alert.id).state == "firing"


def test_rules_for_volumes_and_for_other_markets_do_not_ask_for_answers(source):
    source.answers(NOW, ab=60)
    source.answers(NOW + 500, cd=2)
    for globs in (("*:volume",), ("y:*",), ("x:cd:*",)):
        assert source.check(NOW + 500, (Silent(after=300, match=globs),)).alerts == []
    assert len(source.check(NOW + 500, (Silent(after=300, match=("x:ab*",)),)).alerts) == 1


def test_a_market_that_never_got_an_answer_and_no_rule_are_nothing(source):
    source.answers(NOW, cd=60)
    assert source.check(NOW + 4_000).alerts == []
    assert source.check(NOW + 4_000, ()).alerts == []


def test_an_answer_without_trades_is_no_missing_answer_and_the_other_way_round(source):
    # given half an hour of trades, then answers without trades
    source.answers(NOW, ab=60, cd=60)
    for minute in range(1, 9):
        source.answers(NOW + 60 * minute, volume=0.0, ab=1, cd=1)
        alerts = source.evaluate(NOW + 60 * minute + 1)
        assert source.check(NOW + 60 * minute + 1).alerts == []
    assert [alert.text for alert in source.outbox.newest()] == ["x:ab:volume: no trades for 360 s, more than 300 s"]
    assert alerts == []
