"""When a rule fires: only on a rising edge, only with enough samples, and not again until it is cleared."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.alerts.rules import DEFAULT_RULES, FRESH_STEPS, Ratio, Series, rising_edges

COLUMNS = 1_441
NOW, LAST, BEFORE_LAST = -1, -2, -3  # columns of the slot in progress, the newest closed one, the one before it
MISSION = DEFAULT_RULES[0]


def window(**at):
    """A day at 100, except for the columns in ``at``, e.g. ``now=301``."""
    values = np.full((1, COLUMNS), 100.0)
    for name, value in at.items():
        values[0, {"now": NOW, "last": LAST, "before_last": BEFORE_LAST}[name]] = value
    return values


def found(values, rule=MISSION, **options):
    """(column counted from the end, value) of each edge."""
    return [(edge.column - values.shape[1], edge.value) for edge in rising_edges(Series(values, 60), rule, **options)]


def test_a_volume_that_averaged_100_in_the_last_hour_alerts_at_301_and_not_at_300():
    assert found(window(now=301)) == [(NOW, 301)]
    assert found(window(now=300)) == []
    assert found(window(now=np.nextafter(300, 301) + 1e-6)) != []


def test_an_hour_that_only_averages_100_has_the_same_limit():
    values = window()
    values[0, -61:-1] = np.tile([50.0, 150.0], 30)
    values[0, -62] = 1e9  # before the baseline's hour
    values[0, NOW] = 301
    [edge] = rising_edges(Series(values, 60), MISSION)
    assert (edge.row, edge.column, edge.value, edge.baseline, edge.samples) == (0, 1_440, 301.0, 100.0, 60)
    values[0, NOW] = 300
    assert rising_edges(Series(values, 60), MISSION) == []


@given(st.integers(1, 10**9), st.integers(0, 8), st.integers(30, 60))
@example(10, 2, 60)  # the sum of 60 times 0.1 is just below 6
def test_exactly_three_times_in_decimals_is_not_above(digits, places, samples):
    # given an hour of one decimal number, and then exactly three times that number, as a source writes it
    values = np.full((1, 62), float(f"{digits}e-{places}"))
    values[0, : 61 - samples] = np.nan
    values[0, NOW] = float(f"{3 * digits}e-{places}")
    # then
    assert found(values) == []
    # and a millionth more is above
    values[0, NOW] *= 1.000001
    assert len(found(values)) == 1


def test_only_the_rising_edge_is_found():
    assert found(window(before_last=400, last=400, now=500)) == [(BEFORE_LAST, 400)]
    assert found(window(last=400, now=500)) == [(LAST, 400)]


def test_between_clear_and_above_a_firing_goes_on():
    # given a spike, a value that neither clears nor fires, and another spike, with a baseline of about 105
    assert found(window(before_last=400, last=250, now=500)) == [(BEFORE_LAST, 400)]


def test_a_value_at_the_clear_level_ends_a_firing():
    values = window(before_last=400, now=500)
    values[0, LAST] = 2 * values[0, LAST - 60 : LAST].mean()
    assert found(values) == [(BEFORE_LAST, 400), (NOW, 500)]
    values[0, LAST] *= 1.000001
    assert found(values) == [(BEFORE_LAST, 400)]


def test_exactly_the_clear_level_in_decimals_clears():
    rule = Ratio(baseline=600, min_samples=10)
    missed = []
    for digits in range(1, 100):
        # given a firing, ten slots without a baseline, a value of exactly twice their mean, and a new rise
        level = digits / 100
        values = np.full((1, COLUMNS), level)
        values[0, -15:] = [10 * level, np.nan, *[level] * 10, 2 * digits / 100, 5 * level, np.nan]
        if found(values, rule) != [(LAST, 5 * level)]:
            missed.append(level)
    assert missed == []


def test_the_slot_in_progress_may_fire():
    assert found(window(now=400)) == [(NOW, 400)]


def test_the_slot_in_progress_never_clears():
    # given a firing, and a slot in progress with a low value
    values = window(last=400, now=1)
    assert found(values) == [(LAST, 400)]
    # when its value grows, it is not an edge
    values[0, NOW] = 450
    assert found(values) == [(LAST, 400)]


def test_a_firing_of_long_ago_that_nothing_cleared_goes_on():
    # given a spike, then too few samples for a baseline (one in three slots), then full slots and a rise
    rule = Ratio(baseline=180, min_samples=2)
    values = window()
    values[0, 100:] = np.where(np.arange(COLUMNS - 100) % 3, np.nan, 400.0)
    values[0, BEFORE_LAST:] = [100.0, 100.0, 1_000.0]
    # then
    assert (NOW, 1_000) not in found(values, rule)
    # and with a clear value in between, it is an edge
    values[0, 700:706] = [100.0, 100.0, 100.0, np.nan, np.nan, np.nan]
    assert found(values, rule) == [(NOW, 1_000)]


@pytest.mark.parametrize("gone", [slice(None), slice(-61, -1), slice(-61, -30)])
def test_too_few_samples_are_no_baseline(gone):
    values = window(now=1e6)
    values[0, gone] = np.nan
    values[0, NOW] = 1e6
    assert found(values) == []


def test_min_samples_are_enough():
    values = window(now=301)
    values[0, -61:-31] = np.nan
    [edge] = rising_edges(Series(values, 60), MISSION)
    assert edge.samples == 30
    values[0, -31] = np.nan
    assert rising_edges(Series(values, 60), MISSION) == []


def test_a_baseline_of_0_never_alerts():
    values = np.zeros((1, COLUMNS))
    values[0, NOW] = 1e6
    assert found(values) == []


def test_a_baseline_must_be_above_min_baseline():
    assert found(window(now=500), Ratio(min_baseline=100)) == []
    assert found(window(now=500), Ratio(min_baseline=99.9)) == [(NOW, 500)]


def test_missing_slots_neither_alert_nor_clear():
    values = window(before_last=400, last=np.nan, now=500)
    assert found(values) == [(BEFORE_LAST, 400)]
    assert found(window(now=np.nan)) == []


def test_slots_without_a_baseline_do_not_clear_either():
    # given a firing, then low values with too few samples before them, then a high value with enough
    rule = Ratio(baseline=120, min_samples=2)
    values = window()
    values[0, -8:] = [100, 400, np.nan, 1, np.nan, 300, 300, 2_000]
    assert (NOW, 2_000) not in found(values, rule, steps=10)


@pytest.mark.parametrize("columns_ago", [1, 2, 3, 60, 1_000])
def test_only_fresh_slots_alert(columns_ago):
    values = window()
    values[0, NOW - columns_ago] = 1_000
    assert bool(found(values)) == (columns_ago <= FRESH_STEPS)


def test_no_window_has_no_edges():
    assert rising_edges(Series(np.empty((0, COLUMNS)), 60), MISSION) == []
    assert rising_edges(Series(np.full((3, COLUMNS), np.nan), 60), MISSION) == []


@pytest.mark.parametrize("step", [60, 180, 300, 900, 1_800, 3_600])
def test_the_default_rule_alerts_at_every_step_that_can_be_set(step):
    values = np.full((1, 86_400 // step + 1), 100.0)
    values[0, NOW] = 301
    assert len(rising_edges(Series(values, step), MISSION)) == 1


def oracle(values, rule, step):
    """The (column, value) of all rising edges of a row, found by a plain state machine with exact arithmetic."""
    numbers = [None if np.isnan(value) else Fraction(value) for value in values.tolist()]
    in_progress, width = len(numbers) - 1, rule.baseline // step
    firing, rising = False, []
    for column, value in enumerate(numbers):
        before = [number for number in numbers[max(0, column - width) : column] if number is not None]
        if value is None or len(before) < max(rule.min_samples, 1):
            continue
        baseline = sum(before) / len(before)
        if baseline <= rule.min_baseline:
            continue
        if value > Fraction(rule.factor) * baseline:
            if not firing:
                rising.append((column, float(value)))
            firing = True
        elif value <= Fraction(rule.clear_factor) * baseline and column != in_progress:
            firing = False
    return rising


levels = st.sampled_from([0, 1, 2, 3, 4, 6, 9, 10, 27, 30, 100]) | st.integers(0, 50)
samples = st.one_of(levels, levels, levels, levels, st.just(np.nan)).map(float)


@st.composite
def some_rules(draw):
    width = draw(st.sampled_from([1, 3, 10, 60]))
    return Ratio(
        factor=draw(st.sampled_from([1.5, 2.0, 3.0])),
        baseline=60 * width,
        min_samples=draw(st.integers(0, min(width, 8))),
        min_baseline=draw(st.sampled_from([0.0, 2.0])),
        clear_factor=draw(st.sampled_from([0.5, 1.0, 1.5])),
    )


@settings(max_examples=120)
@given(
    st.integers(5, 30).flatmap(lambda n: st.lists(st.lists(samples, min_size=n, max_size=n), min_size=1, max_size=2)),
    some_rules(),
)
def test_edges_are_those_of_a_plain_state_machine(rows, rule):
    values = np.array(rows)
    found = [
        (edge.row, edge.column, edge.value)
        for edge in rising_edges(Series(values, 60), rule, steps=values.shape[1] - 1)
    ]
    expected = [(row, *edge) for row, numbers in enumerate(values) for edge in oracle(numbers, rule, 60)]
    assert sorted(found) == sorted(expected)
    assert [column for _, column, _ in found] == sorted(column for _, column, _ in found)  # oldest first


@pytest.mark.parametrize(
    ("globs", "matches"),
    [
        (["*"], True),
        (["kraken:*"], True),
        (["*:volume"], True),
        (["kraken:btc*:volume"], True),
        (["*:price"], False),
        (["binance:*", "*:btcusd:*"], True),
        (["kraken"], False),
        (["KRAKEN:*"], False),
    ],
)
def test_a_rule_is_for_the_metrics_its_globs_match(globs, matches):
    assert Ratio(match=tuple(globs)).matches("kraken:btcusd:volume") is matches
