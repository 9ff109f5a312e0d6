"""The kind ``silent``: no trades is a run of final slots without volume, and a missing slot is not one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.alerts.rules import Series, Silent, cleared, rising_edges, screen

COLUMNS = 1_441
RULE = Silent(name="quiet", after=300)


def window(*newest):
    """A day with a trade in each minute that ends with the volumes ``newest``."""
    values = np.full((1, COLUMNS), 5.0)
    values[0, COLUMNS - len(newest) :] = newest
    return values


def found(values, rule=RULE, **options):
    return [edge.column - values.shape[1] for edge in rising_edges(Series(values, 60), rule, **options)]


def test_more_than_five_minutes_without_a_trade_fire_once():
    assert found(window(*[0] * 6)) == []  # the last one is in progress
    assert found(window(*[0] * 7)) == [-2]
    assert found(window(*[0] * 12), steps=10) == [-7]
    assert found(window(*[0] * 6, 3)) == [-2]
    assert found(window(*[0] * 5, 3)) == []


def test_a_missing_slot_is_no_silence_and_ends_none():
    nan = np.nan
    assert found(window(0, 0, nan, 0, 0, 0, 0, 0)) == []
    assert found(window(*[nan] * 8)) == []
    assert found(window(nan, 0, 0, 0, 0, 0, 0, 0)) == [-2]
    # given a firing, a gap, and silence again: the firing goes on
    assert found(window(*[0] * 7, nan, *[0] * 8), steps=16) == [-11]
    # and with a trade in between, there is another
    assert found(window(*[0] * 7, nan, 5, *[0] * 8), steps=16) == [-12, -3]


def test_a_trade_ends_it():
    def over(*newest):
        values = window(*newest)
        return cleared(Series(values, 60), RULE, np.array([COLUMNS - 4])).tolist()

    assert over(*[0] * 8, 5, 5) == [True]
    assert over(*[0] * 9, 5) == [False]  # in progress
    assert over(*[0] * 8, np.nan, 0) == [False]


def test_markets_that_trade_rarely_can_be_left_out():
    values = window(*[0] * 7)
    values[0, :720] = 0
    assert found(values) == [-2]
    assert found(values, Silent(after=300, min_baseline=0.5)) == []
    assert found(values, Silent(after=300, min_baseline=0.49)) == [-2]
    never = np.zeros((1, COLUMNS))
    assert found(never) == []


def test_too_few_known_minutes_decide_nothing():
    values = window(*[0] * 7)
    values[0, : COLUMNS - 31] = np.nan
    assert found(values) == []
    assert found(values, Silent(after=300, min_samples=29)) == [-2]


def test_an_alert_says_which_silence_it_is():
    [edge] = rising_edges(Series(window(*[0] * 7), 60), RULE)
    alert = edge.alert(RULE, "x:ab:volume", 60, 61.0)
    assert alert.text == "x:ab:volume: no trades for 360 s, more than 300 s"
    assert (alert.value, alert.samples, alert.details) == (360, 1_439, {"cause": "no trades"})
    assert alert.baseline == pytest.approx(1 - 5 / 1_439)
    none = RULE.alert("x:ab", 1_700_000_100.0, 60, 1_700_000_450.0)
    assert none.text == "x:ab:price: no answer for 350 s, more than 300 s"
    assert (none.id, none.details) == ("quiet:x:ab:price:1700000100", {"cause": "no answer"})


def test_globs_choose_the_cause():
    for globs, trades, answers in ((("*",), True, True), (("*:volume",), True, False), (("x:*:price",), False, True)):
        rule = Silent(after=300, match=globs)
        assert (rule.matches("x:ab:volume"), rule.wants_answers("x:ab")) == (trades, answers)
    assert not RULE.matches("x:ab:price")


@pytest.mark.parametrize("options", [{"after": 59}, {"min_baseline": 1.5}, {}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        Silent(**{"after": 300} | options if options else {})


def plainly(row, rule):
    """The columns of all edges, by a plain loop over the slots of one market."""
    edges, firing = [], False
    known = [at for at, value in enumerate(row) if not np.isnan(value)]
    newest = known[-1] if known else -1
    for at in range(newest):
        before = [value for value in row[:at] if not np.isnan(value)]
        share = sum(value > 0 for value in before) / len(before) if before else 0
        quiet = 0
        while quiet <= at and row[at - quiet] == 0:
            quiet += 1
        stopped_by_trade = quiet <= at and row[at - quiet] > 0
        enough = quiet * 60 > rule.after
        if len(before) < rule.min_samples or share <= rule.min_baseline or not (enough or stopped_by_trade):
            continue
        if enough and not firing:
            edges.append(at)
        firing = enough
    return edges


@settings(max_examples=200)
@given(
    st.integers(6, 30).flatmap(
        lambda slots: st.lists(
            st.lists(st.sampled_from([0, 0, 0, 5, np.nan]).map(float), min_size=slots, max_size=slots),
            min_size=1,
            max_size=3,
        )
    ),
    st.sampled_from([60, 120, 300]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 3),
)
def test_many_markets_at_once_find_what_plain_loops_find(rows, after, min_baseline, min_samples):
    values, rule = np.array(rows), Silent(after=after, min_baseline=min_baseline, min_samples=min_samples)
    series, steps = Series(values, 60, [f"x:m{at}:volume" for at in range(len(rows))]), values.shape[1] - 1
    edges = [(edge.row, edge.column) for edge in rising_edges(series, rule, steps)]
    assert sorted(edges) == [(row, at) for row, numbers in enumerate(values) for at in plainly(numbers, rule)]
    assert {row for row, _ in edges} <= set(screen(series, [rule], steps).tolist())
    fresh = [(edge.row, edge.column) for edge in rising_edges(series, rule)]
    assert sorted(fresh) == [(row, at) for row, at in sorted(edges) if at >= values.shape[1] - 3]
