"""All kinds of rules besides ratio, and the behaviour that all kinds share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.alerts.rules import (  # fmt: skip
    DEFAULT_RULES,
    FRESH_STEPS,
    Change,
    Ratio,
    Series,
    SeriesRule,
    Stale,
    Threshold,
    Zscore,
    cleared,
    firings,
    rising_edges,
    screen,
)
from tracker.models import Alert

COLUMNS = 1_441
NOW, LAST, BEFORE_LAST = -1, -2, -3


def window(*newest, level=100.0):
    """A day at ``level`` that ends with the values ``newest``."""
    values = np.full((1, COLUMNS), float(level))
    if newest:
        values[0, -len(newest) :] = newest
    return values


def found(values, rule, **options):
    """(column counted from the end, value) of each edge."""
    return [(edge.column - values.shape[1], edge.value) for edge in rising_edges(Series(values, 60), rule, **options)]


def test_a_change_is_against_the_value_some_minutes_ago():
    rule = Change(percent=5, over=300)
    [edge] = rising_edges(Series(window(105.1), 60), rule)
    assert (edge.column, edge.baseline, edge.samples) == (COLUMNS - 1, 100, 5)
    assert found(window(105), rule) == []
    assert found(window(94.9, 100), rule) == [(LAST, 94.9)]
    # and not against any other value
    values = window(105.1)
    values[0, -7:-1] = [100, 104, 104, 104, 104, 104]
    assert found(values, rule) == []
    values[0, -7:-1] = [104, 100, 104, 104, 104, 104]
    assert found(values, rule) == [(NOW, 105.1)]


@pytest.mark.parametrize(
    ("direction", "rise", "fall"), [("up", True, False), ("down", False, True), ("both", True, True)]
)
def test_a_change_has_a_direction(direction, rise, fall):
    rule = Change(percent=5, over=60, direction=direction)
    assert bool(found(window(110, 110), rule)) is rise
    assert bool(found(window(90, 90, 90), rule)) is fall


def test_a_fall_in_the_slot_in_progress_is_no_fall_yet():
    for rule in (Change(percent=5, over=60), Threshold(below=95), Zscore(score=3, direction="both")):
        values = np.where(np.arange(COLUMNS) % 2, 99.0, 101.0)[None, :]
        values[0, NOW] = 50.0
        assert found(values, rule) == []
        # once it has closed it is
        values[0, LAST:] = [50.0, 50.0]
        assert found(values, rule) == [(LAST, 50.0)]


def test_without_a_value_then_there_is_no_change():
    values = window(200)
    values[0, -6] = np.nan
    assert found(values, Change(percent=5, over=300)) == []
    values[0, -6] = 0
    assert found(values, Change(percent=5, over=300)) == []


def test_a_change_may_ask_for_samples_in_between():
    values = window(200)
    values[0, -4:-2] = np.nan
    assert found(values, Change(percent=5, over=300, min_samples=3)) == [(NOW, 200)]
    assert found(values, Change(percent=5, over=300, min_samples=4)) == []


def test_a_threshold_is_crossed_above_or_below():
    assert found(window(150.1), Threshold(above=150)) == [(NOW, 150.1)]
    assert found(window(150), Threshold(above=150)) == []
    assert found(window(49.9, 100), Threshold(below=50)) == [(LAST, 49.9)]
    assert found(window(50, 100), Threshold(below=50)) == []


def test_a_threshold_needs_no_hour_before_it_unless_asked():
    values = np.full((1, COLUMNS), np.nan)
    values[0, NOW] = 151
    [edge] = rising_edges(Series(values, 60), Threshold(above=150))
    assert np.isnan(edge.baseline) and edge.samples == 0
    assert found(values, Threshold(above=150, min_samples=1)) == []


def test_a_threshold_clears_at_its_clear_level():
    assert found(window(160, 145, 160), Threshold(above=150, clear=140)) == [(BEFORE_LAST, 160)]
    assert found(window(160, 140, 160), Threshold(above=150, clear=140)) == [(BEFORE_LAST, 160), (NOW, 160)]
    assert found(window(40, 55, 40, 100), Threshold(below=50, clear=60), steps=3) == [(-4, 40)]
    assert found(window(40, 60, 40, 100), Threshold(below=50, clear=60), steps=3) == [(-4, 40), (LAST, 40)]


def test_a_threshold_may_ask_for_a_busy_hour():
    assert found(window(160), Threshold(above=150, min_baseline=100)) == []
    assert found(window(160), Threshold(above=150, min_baseline=99)) == [(NOW, 160)]


def test_a_score_is_against_the_window_before():
    values = np.where(np.arange(COLUMNS) % 2, 90.0, 110.0)[None, :]  # mean 100, deviation 10
    rule = Zscore(score=4)
    for value, fires in ((140.5, True), (139.5, False), (0.0, False)):
        values[0, NOW] = value
        assert bool(found(values, rule)) is fires
    values[0, NOW] = 140.5
    [edge] = rising_edges(Series(values, 60), rule)
    assert (edge.baseline, edge.samples) == (pytest.approx(100), 1_440)


def test_a_constant_window_has_no_score():
    for level in (100.0, 0.1, 0.0):
        assert found(window(level * 2 + 1, level=level), Zscore()) == []


def test_a_score_needs_samples():
    values = np.where(np.arange(COLUMNS) % 2, 90.0, 110.0)[None, :]
    values[0, :-31] = np.nan
    values[0, NOW] = 200
    assert found(values, Zscore()) == [(NOW, 200)]
    values[0, -31] = np.nan
    assert found(values, Zscore()) == []


@given(st.lists(st.floats(0, 1e6) | st.just(np.nan), min_size=8, max_size=40), st.integers(1, 6))
def test_scores_are_those_of_numpy(numbers, steps):
    values = np.array([numbers])
    rule = Zscore(score=2, min_samples=2)
    expected = []
    firing = False
    newest = max((at for at, number in enumerate(numbers) if not np.isnan(number)), default=-1)
    for column, value in enumerate(numbers):
        before = values[0, :column][~np.isnan(values[0, :column])]
        if np.isnan(value) or len(before) < 2 or np.std(before) <= 1e-9 * abs(np.mean(before)):
            continue
        score = (value - np.mean(before)) / np.std(before)
        if abs(score - 2) < 1e-6 or abs(score - 1) < 1e-6:
            return  # rounding decides
        if score > 2:
            if not firing:
                expected.append(column)
            firing = True
        elif score <= 1 and column < newest:
            firing = False
    fresh = [column for column in expected if column >= len(numbers) - 1 - steps]
    assert [edge.column for edge in rising_edges(Series(values, 60), rule, steps=steps)] == fresh


def test_for_a_while_every_slot_must_have_been_above():
    rule = Threshold(above=150, hold=120)
    assert found(window(160, 160, 160), rule) == [(NOW, 160)]
    assert found(window(160, 160), rule) == []
    assert found(window(160, 140, 160, 160), rule) == []
    assert found(window(160, np.nan, 160, 160), rule) == []
    # there is one edge, in the slot that completes the hold
    assert found(window(160, 160, 160, 160, 160), rule, steps=5) == [(BEFORE_LAST, 160)]


def test_a_while_longer_than_the_window_is_never_over():
    values = np.full((1, 10), 160.0)
    assert found(values, Threshold(above=150, hold=600)) == []
    assert found(values, Threshold(above=150, hold=480), steps=9) == [(LAST, 160)]


def over(values, rule, since):
    return cleared(Series(values, 60), rule, np.array([values.shape[1] + since])).tolist()


def test_an_alert_is_over_when_a_closed_slot_is_clear():
    rule = Ratio()
    assert over(window(400, 100, 100), rule, BEFORE_LAST) == [True]
    assert over(window(400, 400, 100), rule, BEFORE_LAST) == [False]  # the slot in progress is not closed
    assert over(window(400, 250, 250), rule, BEFORE_LAST) == [False]  # neither clear nor above
    assert over(window(400), rule, NOW) == [False]


def test_missing_slots_end_nothing():
    rule = Ratio()
    assert over(window(400, np.nan, np.nan), rule, BEFORE_LAST) == [False]
    assert over(window(400, np.nan, 100, np.nan), rule, -4) == [False]  # the newest sample may still change
    assert over(window(400, np.nan, 100, 100), rule, -4) == [True]


def test_what_was_clear_before_the_alert_does_not_end_it():
    values = window(400, np.nan, np.nan)
    values[0, BEFORE_LAST] = 250  # the slot that fired closed with a lower value
    assert over(values, Ratio(), BEFORE_LAST) == [False]


def some_rules():
    common = {"cooldown": st.just(60), "hold": st.sampled_from([0, 0, 60, 180])}
    return st.one_of(
        st.builds(Ratio, factor=st.sampled_from([2.0, 3.0]), clear_factor=st.sampled_from([1.0, 2.0]),
                  baseline=st.sampled_from([180, 600]), min_samples=st.sampled_from([0, 2]), **common),
        st.builds(Change, percent=st.sampled_from([50, 100]), over=st.sampled_from([60, 300]),
                  direction=st.sampled_from(["up", "down", "both"]), **common),
        st.builds(Threshold, above=st.sampled_from([10.0, 30.0]), **common),
        st.builds(Threshold, below=st.sampled_from([5.0, 1.0]), **common),
        st.builds(Zscore, score=st.sampled_from([1.0, 2.0]), direction=st.sampled_from(["up", "both"]),
                  min_samples=st.just(2), **common),
    )  # fmt: skip


numbers = st.sampled_from([0, 1, 2, 5, 9, 10, 27, 30, 100, np.nan]).map(float)


@settings(max_examples=200)
@given(
    st.integers(6, 24).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1, max_size=4)),
    st.lists(some_rules(), min_size=1, max_size=4),
)
def test_many_rules_at_once_find_what_each_finds_alone_and_the_screen_misses_none(rows, rules):
    values = np.array(rows)
    metrics = tuple(f"x:m{number}:volume" for number in range(len(rows)))
    together = firings(Series(values, 60, metrics), rules)
    alone = [(rule, edge) for rule in rules for edge in rising_edges(Series(values, 60), rule)]
    assert [(id(rule), edge.row, edge.column) for rule, edge in together] == [
        (id(rule), edge.row, edge.column) for rule, edge in alone
    ]
    assert {edge.row for _, edge in alone} <= set(screen(Series(values, 60, metrics), rules).tolist())


@settings(max_examples=100)
@given(st.lists(numbers, min_size=6, max_size=40), some_rules())
def test_an_edge_is_found_again_until_it_is_no_longer_fresh(row, rule):
    """A later evaluation finds the same edges: the time of an evaluation has no influence."""
    values = np.array([row])
    whole = {edge.column for edge in rising_edges(Series(values, 60), rule, steps=len(row) - 1)}
    assert {edge.column for edge in rising_edges(Series(values, 60), rule)} == {
        column for column in whole if column >= len(row) - 1 - FRESH_STEPS
    }


def test_rules_are_for_the_metrics_they_match():
    values = np.vstack([window(400), window(400)])
    metrics = ("kraken:btcusd:volume", "kraken:btcusd:price")
    rules = [Ratio(name="volumes", match=("*:volume",)), Ratio(name="prices", match=("*:price", "x:*"))]
    assert [(rule.name, edge.row) for rule, edge in firings(Series(values, 60, metrics), rules)] == [
        ("volumes", 0),
        ("prices", 1),
    ]
    assert screen(Series(values, 60, metrics), rules[:1]).tolist() == [0]


def test_no_rules_and_no_metrics_find_nothing():
    assert firings(Series(window(400), 60, ("a:b:price",)), []) == []
    assert screen(Series(window(400), 60, ("a:b:price",)), []).tolist() == []
    assert firings(Series(np.empty((0, COLUMNS)), 60, ()), DEFAULT_RULES) == []
    assert cleared(Series(np.empty((0, COLUMNS)), 60), Ratio(), np.empty(0, int)).tolist() == []


def alert_of(rule: SeriesRule, values):
    [edge] = rising_edges(Series(values, 60), rule)
    return edge.alert(rule, "kraken:btcusd:volume", 1_700_000_040, 1_700_000_071.0)


def test_an_alert_explains_itself():
    alert = alert_of(Ratio(name="jump", severity="critical"), window(302))
    assert str(alert) == (
        "kraken:btcusd:volume: 302 is 3.02 x its mean of 100 over the last 60 min (60 samples), above 3 x "
        "[jump:kraken:btcusd:volume:1700000040]"
    )
    assert (alert.kind, alert.severity, alert.state, alert.factor, alert.window) == (
        "ratio", "critical", "firing", 3.0, 3_600,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "newest", "text"),
    [
        (Change(percent=5, over=300), [110], "110 is +10.00 % against 100 5 min ago, beyond 5 %"),
        (Threshold(above=150), [160], "160 is beyond 150; its mean over the last 60 min is 100"),
        (Threshold(below=50), [40, 100], "40 is beyond 50; its mean over the last 60 min is 100"),
    ],
)
def test_every_kind_explains_itself(rule, newest, text):
    assert alert_of(rule, window(*newest)).text == f"kraken:btcusd:volume: {text}"


def test_a_message_may_be_ones_own():
    rule = Ratio(message="{rule} {metric} {value:.0f} is {percent:+.0f} %, {minutes} min, {severity}")
    assert alert_of(rule, window(400)).text == " kraken:btcusd:volume 400 is +300 %, 60 min, warning"


@pytest.mark.parametrize(
    ("value", "told"), [(12_345_678.0, "12345700"), (8.123e-6, "0.000008123"), (1e5 / 3, "33333.3")]
)
def test_a_notice_has_no_exponents(value, told):
    alert = Alert("jump", "x:dogeusd:volume", 0, value, value / 2, 5e6, 60, 3_600, 0.0)
    assert Ratio().text(alert).startswith(f"x:dogeusd:volume: {told} is 2.00 x its mean of ")
    assert Threshold(above=5e6).text(alert).count("5000000") == 1
    assert Ratio(message="{value:.1e}").text(alert) == f"{value:.1e}"


@pytest.mark.parametrize("message", ["{pair}", "{value:d}", "{", "{0}", "{value.x}", "{text[3]}"])
def test_a_message_that_cannot_be_filled_in_is_refused(message):
    with pytest.raises(ValidationError, match="expected a message"):
        Ratio(message=message)


def test_a_source_is_stale_after_a_while_and_again_heard_of():
    rule = Stale(name="silent", after=300, clear=120)
    assert [rule.fires(age) for age in (299, 300, 301)] == [False, False, True]
    assert [rule.clears(age) for age in (119, 120, 121)] == [True, True, False]
    alert = rule.alert("simulator", 1_700_000_100.0, 60, 1_700_000_450.0)
    assert alert.id == "silent:source:simulator:1700000100"
    assert rule.alert("simulator", 1_700_000_159.0, 60, 1_700_000_500.0).id == alert.id
    assert alert.text == "source:simulator: no sample for 350 s, more than 300 s"
