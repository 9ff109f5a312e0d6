"""Mean, deviation and last value of windows equal numpy's, also with gaps and far from zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.series.stats import describe, drop_unsettled, mean_present

COLUMNS = 1_441


def exact(values):
    """Independent mean, stddev (closed slots) and mean of the last hour, in extended precision."""
    closed = values[:, :-1].astype(np.longdouble)
    return (np.nanmean(closed, axis=1), np.nanstd(closed, axis=1), np.nanmean(closed[:, -60:], axis=1))


@st.composite
def windows(draw):
    """(n, columns) of non-negative numbers of 20 magnitudes, with gaps; the newest closed slot is always there."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, columns = draw(st.integers(1, 5)), draw(st.sampled_from([62, 200, COLUMNS]))
    scale = 10 ** random.uniform(-8, 12, (rows, 1))
    kind = draw(st.sampled_from(["price", "volume", "wild"]))
    if kind == "price":
        values = scale * (
            1 + draw(st.sampled_from([1e-6, 1e-3, 0.1])) * random.standard_normal((rows, columns)).clip(-5, 5)
        )
    elif kind == "volume":
        values = scale * random.pareto(1.5, (rows, columns)) * (random.random((rows, columns)) < 0.7)
    else:
        values = 10 ** random.uniform(-8, 12, (rows, columns))
    if draw(st.booleans()):
        values[:, -1] = 10 ** random.uniform(-8, 12, rows)  # the slot in progress may have a quite different size
    values[random.random((rows, columns)) < draw(st.sampled_from([0, 0.01, 0.5, 0.95]))] = np.nan
    values[:, -2] = np.where(np.isnan(values[:, -2]), scale[:, 0], values[:, -2])
    return values


@settings(max_examples=300)
@given(windows())
def test_mean_and_deviation_agree_with_numpy(values):
    before = values.copy()
    found = describe(values, 60)
    mean, stddev, mean_1h = exact(values)
    np.testing.assert_allclose(found.mean, mean.astype(float), rtol=1e-9)
    np.testing.assert_allclose(found.mean_1h, mean_1h.astype(float), rtol=1e-9)
    np.testing.assert_allclose(found.stddev, stddev.astype(float), rtol=1e-9)
    np.testing.assert_array_equal(values, before)


@given(
    st.integers(0, 2**32),
    st.floats(-3, 9),
    st.floats(-9, -1),
    st.sampled_from([None, 1e6, 1e-6]),
    st.sampled_from([0, 0.3, 0.95]),
)
def test_a_deviation_is_right_far_from_zero_and_whatever_the_last_sample_is(seed, offset, spread, last, gaps):
    # given a large offset with a tiny spread, and perhaps a last sample of a quite different size
    random = np.random.default_rng(seed)
    values = 10**offset * (1 + 10**spread * random.uniform(-1, 1, (3, COLUMNS)))
    values[random.random(values.shape) < gaps] = np.nan
    values[:, :2] = 10**offset * np.array([1 - 10**spread, 1 + 10**spread])
    values[:, -2] = 10**offset * (last or 1)
    # then
    np.testing.assert_allclose(describe(values, 60).stddev, exact(values)[1].astype(float), rtol=1e-9)


@given(st.floats(0, 1e150), st.sets(st.integers(0, COLUMNS - 2), max_size=50))
def test_any_constant_series_has_exactly_no_deviation(constant, gaps):
    values = np.full((1, COLUMNS), constant)
    values[0, list(gaps)] = np.nan
    assert describe(values, 60).stddev[0] == 0


@given(windows())
def test_the_last_sample_and_its_place_are_found(values):
    values[:, -2:] = np.nan
    found = describe(values, 60)
    for row, at, last in zip(values, found.at, found.last, strict=True):
        present = np.flatnonzero(~np.isnan(row))
        assert at == (present[-1] if len(present) else -1)
        assert last == row[at] if len(present) else np.isnan(last)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 29_140.7, 1e-8, 1e12])
@pytest.mark.parametrize("in_progress", ["the same", 0.7, np.nan])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_constant_series_has_exactly_no_deviation(constant, in_progress, gaps):
    values = np.full((1, COLUMNS), constant)
    values[0, -1] = constant if in_progress == "the same" else in_progress
    if gaps:
        values[0, 100:200] = values[0, 1_000:-1:3] = np.nan
    found = describe(values, 60)
    assert found.stddev[0] == 0
    assert found.mean[0] == constant


def test_without_samples_everything_is_missing():
    found = describe(np.full((2, COLUMNS), np.nan), 60)
    for numbers in (found.last, found.mean_1h, found.mean, found.stddev):
        assert np.isnan(numbers).all()
    assert found.at.tolist() == [-1, -1]


def test_a_sample_in_progress_alone_has_a_last_value_and_no_statistics():
    values = np.full((1, COLUMNS), np.nan)
    values[0, -1] = 5.0
    found = describe(values, 60)
    assert (found.at[0], found.last[0]) == (COLUMNS - 1, 5.0)
    assert np.isnan([found.mean[0], found.mean_1h[0], found.stddev[0]]).all()


def test_the_slot_in_progress_is_in_no_statistic():
    values = np.ones((1, COLUMNS))
    values[0, -1] = 1e6
    found = describe(values, 60)
    assert (found.last[0], found.mean[0], found.mean_1h[0], found.stddev[0]) == (1e6, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("final", [0, 1, COLUMNS - 61, COLUMNS - 2])
def test_a_slot_that_is_not_final_is_in_no_statistic(final):
    random = np.random.default_rng(3)
    values = random.uniform(1, 2, (3, COLUMNS))
    values[1, final:-1] = 1e6
    found = describe(values, 60, np.array([COLUMNS - 1, final, COLUMNS - 1]))
    alone = values.copy()
    alone[1, final:-1] = np.nan
    for name in ("at", "last", "mean_1h", "mean", "stddev"):
        np.testing.assert_array_equal(getattr(found, name), getattr(describe(alone, 60), name))


def test_before_rules_see_it_a_window_loses_what_is_not_final_but_the_newest_sample():
    values = np.tile(np.arange(1.0, 7.0), (4, 1))
    values[2, -1] = values[3, -3:] = np.nan
    drop_unsettled(values, np.array([5, 3, 2, 2]))
    np.testing.assert_array_equal(values[0], [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(values[1], [1, 2, 3, np.nan, np.nan, 6])
    np.testing.assert_array_equal(values[2], [1, 2, np.nan, np.nan, 5, np.nan])
    np.testing.assert_array_equal(values[3], [1, 2, 3, np.nan, np.nan, np.nan])


def test_a_spike_leaves_no_error_once_it_has_left_the_window():
    # given a day of ordinary values and a value a million times larger
    random = np.random.default_rng(1)
    series = random.uniform(90, 110, 3 * COLUMNS)
    series[1_000] *= 1e6
    # when the window moves over that value and beyond
    found = [describe(series[None, at : at + COLUMNS], 60).stddev[0] for at in (0, 1_000, 1_001, 1_500)]
    # then
    expected = [series[at : at + COLUMNS - 1].std() for at in (0, 1_000, 1_001, 1_500)]
    assert expected[0] > 1e6 and expected[1] > 1e6 and expected[2] < 10
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("step", [60, 300, 3_600])
def test_the_last_hour_is_an_hour_whatever_the_step(step):
    values = np.arange(86_400 // step + 1.0)[None]
    in_hour = 3_600 // step
    assert describe(values, step).mean_1h[0] == values[0, -1 - in_hour : -1].mean()


def test_rows_do_not_influence_each_other():
    random = np.random.default_rng(2)
    values = random.uniform(1, 2, (5, COLUMNS))
    values[1, 7] = values[3, :] = np.nan
    whole = describe(values, 60)
    for row, alone in enumerate(describe(row[None], 60) for row in values):
        for name in ("at", "last", "mean_1h", "mean", "stddev"):
            np.testing.assert_allclose(getattr(whole, name)[row], getattr(alone, name)[0], rtol=1e-14)


def test_no_rows_have_no_statistics():
    assert describe(np.empty((0, COLUMNS)), 60).stddev.shape == (0,)


def test_the_mean_counts_the_present_samples_only():
    mean, count = mean_present(np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(mean, [2.0, np.nan, 2.0])
    assert count.tolist() == [2, 0, 3]
    assert np.isnan(mean_present(np.empty((2, 0)))[0]).all()


@given(windows())
def test_changes_and_the_coefficient_of_variation_are_what_plain_arithmetic_finds(values):
    found = describe(values, 60)
    for row, values_of in enumerate(values):
        present = np.flatnonzero(~np.isnan(values_of))
        last = values_of[present[-1]]
        for change, column in ((found.change_1h[row], len(values_of) - 61), (found.change_24h[row], 0)):
            before = values_of[column]
            if before > 0 and present[-1] > column:
                assert change == pytest.approx(last / before - 1, rel=1e-12, abs=1e-12)
            else:
                assert np.isnan(change)
        if found.mean[row] > 0:
            assert found.cv[row] == found.stddev[row] / found.mean[row]
        else:
            assert np.isnan(found.cv[row])


def test_a_sample_that_is_older_than_an_hour_has_not_changed_within_it():
    values = np.full((1, COLUMNS), np.nan)
    values[0, [0, 700]] = 4.0, 5.0
    values[0, COLUMNS - 61] = np.nan
    found = describe(values, 60)
    assert np.isnan(found.change_1h[0]) and found.change_24h[0] == 0.25
    values[0, [0, 700, COLUMNS - 61]] = np.nan, np.nan, 8.0
    assert np.isnan(describe(values, 60).change_1h[0])  # it would compare a sample with itself
