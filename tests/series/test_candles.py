"""The candles of an answer that are taken, the filling of the slots between them, and where a fetch resumes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import SourceError
from tracker.models import PRICE, VOLUME, Candles
from tracker.series.candles import accept, fill, resume
from tracker.series.ring import Ring

SLOT = 1_700_000_040
NOW = SLOT + 30.5  # in the slot in progress, SLOT
COVERED = SLOT - 600
YEAR = 365 * 86_400


def judged(*rows, covered=COVERED):
    return accept(rows, covered, 60, NOW)


def test_good_candles_are_taken_as_they_are():
    candles = judged((SLOT - 120, 0.1, 2), (SLOT, 3, 0))
    assert candles.slots.tolist() == [SLOT - 120, SLOT]
    assert candles.slots.dtype == np.int64
    assert candles.values.tolist() == [[0.1, 2.0], [3.0, 0.0]]
    assert candles.values.dtype == np.float64
    assert (candles.covered, candles.refused, candles.refused_slots) == (COVERED, {}, frozenset())


def test_an_empty_answer_is_an_answer():
    candles = judged()
    assert candles.slots.shape == (0,) and candles.values.shape == (0, 2)


@pytest.mark.parametrize(
    ("price", "volume", "reason"),
    [
        (None, 1.0, "not_a_number"),
        ("1.5", 1.0, "not_a_number"),
        (1.5, "1", "not_a_number"),
        (True, 1.0, "not_a_number"),
        (1.0, False, "not_a_number"),
        ([1.0], 1.0, "not_a_number"),
        ({}, 1.0, "not_a_number"),
        (np.float32(1), 1.0, "not_a_number"),
        (math.nan, 1.0, "not_finite"),
        (1.0, math.nan, "not_finite"),
        (math.inf, 1.0, "not_finite"),
        (1.0, -math.inf, "not_finite"),
        (-math.inf, 1.0, "not_finite"),
        (0, 1.0, "negative"),
        (-0.0, 1.0, "negative"),
        (-1.5, 1.0, "negative"),
        (1.0, -1e-300, "negative"),
        (-(2**70), 1.0, "negative"),
        (1e308, 1.0, "implausible"),
        (1.0, 1e308, "implausible"),
        (2**64, 1.0, "implausible"),
        (1.0, 10**400, "implausible"),
    ],
)
def test_a_bad_number_costs_its_candle_alone(price, volume, reason):
    # when
    candles = judged((SLOT - 120, 1.0, 1.0), (SLOT - 60, price, volume), (SLOT, 2.0, 2.0))
    # then
    assert candles.slots.tolist() == [SLOT - 120, SLOT]
    assert candles.refused == {reason: 1}
    assert candles.refused_slots == {SLOT - 60}
    # and if it is the only candle, the whole answer is refused
    with pytest.raises(SourceError) as refusal:
        judged((SLOT - 60, price, volume))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(("price", "volume"), [(5e-324, 0.0), (1e18, 1e18), (10**18, 10**18), (1.0, -0.0)])
def test_the_extremes_of_what_is_plausible_are_taken(price, volume):
    assert judged((SLOT, price, volume)).values.tolist() == [[price, volume]]


@pytest.mark.parametrize(
    "slot",
    [None, "1700000040", True, 1.5, float(SLOT), math.nan, math.inf, SLOT + 1, SLOT * 1000, 60 * 2**64,
     pytest.param(60 * 10**4_000, id="4,002 digits"), -60 * 10**18, [SLOT], np.int64(SLOT)],
)  # fmt: skip
def test_a_time_that_is_no_slot_refuses_the_answer(slot):
    with pytest.raises(SourceError) as refusal:
        judged((SLOT - 60, 1.0, 1.0), (slot, 1.0, 1.0))
    assert refusal.value.reason == "bad_time"
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("slots", [[SLOT, SLOT - 60], [SLOT - 60, SLOT - 60], [COVERED - 60], [-60], [0]])
def test_times_out_of_order_twice_or_not_asked_for_refuse_the_answer(slots):
    with pytest.raises(SourceError) as refusal:
        judged(*((slot, 1.0, 1.0) for slot in slots))
    assert refusal.value.reason == "unsorted"


def test_a_candle_whose_clock_runs_a_little_ahead_is_refused_alone():
    candles = judged((SLOT, 1.0, 1.0), (SLOT + 60, 1.0, 1.0))
    assert candles.slots.tolist() == [SLOT]
    assert candles.refused == {"future": 1}
    assert candles.refused_slots == {SLOT + 60}


@pytest.mark.parametrize("ahead", [120, YEAR, 60 * 10**9])
def test_a_candle_far_ahead_refuses_the_answer(ahead):
    with pytest.raises(SourceError) as refusal:
        judged((SLOT, 1.0, 1.0), (SLOT + ahead, 1.0, 1.0))
    assert refusal.value.reason == "future"


def test_an_answer_without_one_good_candle_is_refused():
    with pytest.raises(SourceError, match=r"not_finite.*negative") as refusal:
        judged((SLOT - 60, math.nan, 1.0), (SLOT, -1.0, 1.0))
    assert refusal.value.reason == "not_finite"


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
slot_like = st.integers(-12, 4).map(lambda age: SLOT + 60 * age)
number_like = st.floats(0, 1e18) | st.integers(-1, 10) | st.floats() | json


@given(
    st.lists(st.tuples(slot_like | slot_like | json, number_like, number_like), max_size=8)
    | st.dictionaries(slot_like, st.tuples(number_like, number_like)).map(
        lambda rows: [(slot, *rows[slot]) for slot in sorted(rows)]
    )
)
def test_whatever_the_rows_only_good_candles_come_out(rows):
    try:
        candles = judged(*rows)
    except SourceError as refusal:
        assert refusal.reason in {
            "bad_time", "unsorted", "future", "not_a_number", "not_finite", "negative", "implausible",
        }  # fmt: skip
        return
    assert np.isfinite(candles.values).all()
    assert (candles.values[:, PRICE] > 0).all() and (candles.values[:, VOLUME] >= 0).all()
    assert (candles.slots % 60 == 0).all() and (np.diff(candles.slots) > 0).all()
    assert ((candles.slots >= COVERED) & (candles.slots <= NOW)).all()
    assert not candles.refused_slots & set(candles.slots.tolist())
    assert len(candles.slots) + len(candles.refused_slots) == len(rows)
    assert sum(candles.refused.values()) == len(candles.refused_slots)


def filled(rows, price, covered=COVERED, refused=(), until=SLOT):
    slots, values = np.array([slot for slot, *_ in rows], np.int64), np.array([row[1:] for row in rows], float)
    candles = Candles(slots, values.reshape(-1, 2), covered, refused_slots=frozenset(refused))
    slots, values = fill(candles, until, 60, price)
    return dict(zip(slots.tolist(), map(tuple, values.tolist()), strict=True))


def test_silence_is_volume_0_at_the_last_price():
    assert filled([(SLOT - 180, 5.0, 1.0), (SLOT - 60, 6.0, 2.0)], 4.0, covered=SLOT - 240) == {
        SLOT - 240: (4.0, 0.0),
        SLOT - 180: (5.0, 1.0),
        SLOT - 120: (5.0, 0.0),
        SLOT - 60: (6.0, 2.0),
        SLOT: (6.0, 0.0),
    }


def test_silence_alone_carries_the_known_price():
    assert filled([], 4.0, covered=SLOT - 60) == {SLOT - 60: (4.0, 0.0), SLOT: (4.0, 0.0)}


def test_before_the_first_candle_of_all_nothing_is_known():
    assert filled([(SLOT - 60, 6.0, 2.0)], math.nan) == {SLOT - 60: (6.0, 2.0), SLOT: (6.0, 0.0)}
    assert filled([], math.nan) == {}


def test_a_refused_slot_is_neither_silent_nor_stored():
    rows = [(SLOT - 180, 5.0, 1.0), (SLOT, 6.0, 2.0)]
    assert filled(rows, math.nan, refused=[SLOT - 240, SLOT - 120]) == {
        SLOT - 180: (5.0, 1.0),
        SLOT - 60: (5.0, 0.0),
        SLOT: (6.0, 2.0),
    }


def test_a_candle_newer_than_the_slot_asked_in_is_kept():
    assert filled([(SLOT, 5.0, 1.0)], math.nan, until=SLOT - 60) == {SLOT: (5.0, 1.0)}
    assert filled([(SLOT, 5.0, 1.0)], math.nan, until=SLOT - 6_000) == {SLOT: (5.0, 1.0)}


def resumed(*rows):
    """``rows``: (price, volume) of the newest slots, oldest first; the last row is of SLOT."""
    found = resume(np.array(rows, float).T, SLOT - 60 * np.arange(len(rows) - 1, -1, -1), len(rows) - 1)
    return found and ((found[0] - SLOT) // 60, found[1])


NOTHING = (math.nan, math.nan)


def test_nothing_stored_is_nowhere_to_go_on_from():
    assert resumed(NOTHING, NOTHING) is None


def test_two_slots_are_always_asked_for_again():
    assert resumed((1, 9), (2, 9), (3, 9)) == (-1, 2.0)
    assert resumed((1, 9), (2, 9), (3, 9), NOTHING, NOTHING) == (-3, 2.0)


def test_silent_slots_are_asked_for_again_until_a_trade_confirms_them():
    assert resumed((1, 9), (2, 9), (2, 0), (2, 0), (2, 0)) == (-3, 2.0)
    assert resumed((1, 9), (2, 9), (2, 0), (2, 0), (3, 9)) == (-1, 2.0)


def test_silence_without_any_trade_is_asked_for_again_from_its_start():
    assert resumed(NOTHING, (2, 0), (2, 0), (2, 0)) == (-2, 2.0)


def test_a_single_stored_slot_is_asked_for_with_the_one_before():
    found = resumed(NOTHING, NOTHING, (2, 9))
    assert found[0] == -1 and math.isnan(found[1])
    assert resumed((2, 9), NOTHING) == (-1, 2.0)


@given(
    st.dictionaries(st.integers(0, 40), st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30),
    st.lists(st.tuples(st.integers(0, 240), st.integers(0, 300)), max_size=25),
)
def test_whatever_the_fetches_the_series_ends_as_the_final_candles(trades, fetches):
    """``trades``: slots after the start -> (price, volume); ``fetches``: (seconds passed, seconds late)."""
    # given a source that lags by some seconds, with an unfinished newest candle, and knows more at each fetch
    start = SLOT - SLOT % 86_400
    final = {start + 60 * at: (float(p), float(v)) for at, (p, v) in trades.items()} | {start + 2_520: (5.0, 5.0)}
    stored = {}
    known_until = now = start
    ring = Ring()

    def fetch():
        slots = ring.slots(now)
        tail = np.array([stored.get(slot, NOTHING) for slot in slots.tolist()]).T
        since, price = resume(tail, slots, len(slots) - 1) or (start, math.nan)
        shown = [
            (slot, *(values if slot + 60 <= known_until else (values[0] + 1, values[1] / 2)))
            for slot, values in sorted(final.items())
            if since <= slot <= known_until
        ]
        slots, values = fill(accept(shown, since, 60, now), ring.slot(now), 60, price)
        stored.update(zip(slots.tolist(), map(tuple, values.tolist()), strict=True))

    for passed, late in fetches:
        now += passed
        known_until = max(known_until, now - late)
        fetch()
    # when it is asked after the last candle has closed
    now = known_until = max(now, start + 2_580) + 60
    fetch()
    # then
    price = math.nan
    for slot in range(start, now, 60):
        price, volume = final.get(slot, (price, 0.0))
        assert stored.get(slot, NOTHING) == (price, volume) or (math.isnan(price) and slot not in stored)
