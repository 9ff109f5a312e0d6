"""The ring: a written value can be read for exactly 24 hours, in whatever order the writes come."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.series.ring import DAY, HOUR, Ring
from tracker.store.connection import connect
from tracker.store.series import Store

STEPS = [60, 300, 3_600]
NOW = 1_700_000_123.4
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def writes(draw, most=12):
    """(step, [(now, {slot: values})]): ``now`` never falls; slots from three windows ago to a few in the future."""
    step = draw(st.sampled_from(STEPS))
    ring = Ring(step)
    now = draw(st.floats(1e9, 2**40))
    made = []
    for _ in range(draw(st.integers(1, most))):
        now += draw(st.sampled_from([0, 1, step, HOUR, DAY - step, DAY, DAY + step, 3 * DAY]) | st.floats(0, 2 * DAY))
        ages = st.sampled_from([-2, -1, 0, 1, ring.rows - 2, ring.rows - 1, ring.rows]) | st.integers(-3, 3 * ring.rows)
        start, *others = draw(st.lists(ages, min_size=1, max_size=5))
        run = range(start, start - draw(st.integers(1, 40)), -1)  # neighbours, as most writes are
        slots = sorted({ring.slot(now) - age * step for age in [*run, *others]})
        made.append((now, {slot: draw(st.tuples(numbers, numbers)) for slot in slots}))
    return step, made


def runs(ring, values, now):
    """The runs of ``encode`` for {slot: values}."""
    return ring.encode(np.array(list(values), np.int64), np.array(list(values.values())).reshape(-1, 2), now)


def put(stored, offset, run):
    """Does what SETRANGE does with a string that is long enough."""
    assert offset >= 0 and offset + len(run) <= len(stored)
    stored[offset : offset + len(run)] = run


def read(ring, stored, now):
    """{slot: values} of the samples in the window."""
    window = ring.decode([bytes(stored)], now).values[:, 0].T
    present = ~np.isnan(window[:, 0])
    return dict(zip(ring.slots(now)[present].tolist(), map(tuple, window[present].tolist()), strict=True))


def held(ring, written, now):
    return {slot: values for slot, values in written.items() if ring.first(now) <= slot <= ring.slot(now)}


@given(writes())
def test_any_writes_read_back_as_the_last_value_per_slot_of_the_window(case):
    step, made = case
    ring, written = Ring(step), {}
    stored = bytearray(ring.size)
    for now, values in made:
        for offset, run in runs(ring, values, now):
            put(stored, offset, run)
        written |= held(ring, values, now)
        assert read(ring, stored, now) == held(ring, written, now)


@given(writes(most=3), st.data())
def test_runs_of_several_writers_may_interleave(case, data):
    step, made = case
    ring, written = Ring(step), {}
    stored, now = bytearray(ring.size), made[-1][0]
    slot_of_row = {int(slot) // step % ring.rows: int(slot) for slot in ring.slots(now)}
    width = ring.row_type.itemsize
    sent = [(*run, values) for _, values in made for run in runs(ring, values, now)]
    for offset, run, said in data.draw(st.permutations(sent)):
        put(stored, offset, run)
        slots = [slot_of_row[offset // width + row] for row in range(len(run) // width)]
        written |= {slot: said[slot] for slot in slots}
    assert read(ring, stored, now) == written


@given(writes(), st.data())
def test_a_write_that_was_held_up_may_hide_a_sample_but_never_becomes_another_slots(case, data):
    # given: bytes that are made at one time and reach the store at any later time
    step, made = case
    ring = Ring(step)
    stored, now = bytearray(ring.size), made[-1][0]
    said = {}
    for made_at, values in data.draw(st.permutations(made)):
        for offset, run in runs(ring, values, made_at):
            put(stored, offset, run)
        for slot, value in values.items():
            said.setdefault(slot, []).append(value)
    # then
    for slot, value in read(ring, stored, now).items():
        assert value in said[slot]


@given(writes(), st.data())
def test_final_are_the_first_slots_up_to_the_last_that_was_written_as_final_before_one_that_was_not(case, data):
    # given writes that each say from which slot on they are not final
    step, made = case
    ring, written = Ring(step), {}
    stored = bytearray(ring.size)
    for now, values in made:
        settled = ring.slot(now) - step * data.draw(st.integers(-1, 3))
        slots = np.array(list(values), np.int64)
        for offset, run in ring.encode(slots, np.array(list(values.values())), now, settled):
            put(stored, offset, run)
        written |= {slot: slot < settled for slot in held(ring, values, now)}
    # then
    now = made[-1][0]
    states = [written.get(int(slot)) for slot in ring.slots(now)]
    before_open = states[: states.index(False)] if False in states else states
    expected = max((at + 1 for at, state in enumerate(before_open) if state), default=0)
    assert ring.decode([bytes(stored)], now).final.tolist() == [min(expected, ring.rows - 1)]


def test_a_ring_of_before_there_was_a_mark_is_final_where_slots_have_ended():
    ring = Ring()
    slots = ring.slots(NOW)
    rows = np.zeros(ring.rows, ring.row_type)
    rows["cycle"] = slots // (60 * ring.rows) % 65_535 + 1
    rows["values"] = 1.0
    stored = np.roll(rows, int(slots[0]) // 60 % ring.rows).tobytes()
    values, final = ring.decode([stored], NOW)
    assert (values == 1).all() and final.tolist() == [1_440]


@given(st.sampled_from(STEPS), st.floats(1e9, 2**40), st.data())
@example(60, NOW, None)
def test_a_tail_is_the_end_of_the_window(step, now, data):
    ring = Ring(step)
    slots = ring.slots(now)
    present = np.arange(len(slots)) % 7 != 3
    values = np.column_stack([np.arange(len(slots)) + 1.0, np.arange(len(slots)) + 0.5])
    stored = bytearray(ring.size)
    for offset, run in ring.encode(slots[present], values[present], now):
        put(stored, offset, run)
    for count in [1, ring.rows] if data is None else [data.draw(st.integers(1, ring.rows))]:
        pieces = [bytes(stored[first : last + 1]) for first, last in ring.tail_ranges(now, count)]
        tail, whole = ring.decode_tail(pieces, now, count), ring.decode([bytes(stored)], now)
        assert tail.values.shape == (2, 1, count)
        np.testing.assert_array_equal(tail.values, whole.values[:, :, -count:])
        assert tail.final[0] == max(whole.final[0] - ring.rows + count, 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_write_across_the_ring_s_end_wraps(step):
    # given a slot in the last row and a slot in the first row
    ring = Ring(step)
    last = (int(NOW) // (step * ring.rows) + 1) * step * ring.rows - step
    values = {last - step: (1.0, 2.0), last: (3.0, 4.0), last + step: (5.0, 6.0)}
    # when
    made = runs(ring, values, last + step)
    # then
    assert [offset for offset, _ in made] == [(ring.rows - 2) * 18, 0]
    stored = bytearray(ring.size)
    for offset, run in made:
        put(stored, offset, run)
    assert read(ring, stored, last + step) == values


@pytest.mark.parametrize("step", STEPS)
def test_a_sample_is_read_for_24_hours_and_not_a_slot_longer(step):
    ring = Ring(step)
    slot = ring.slot(NOW)
    stored = bytearray(ring.size)
    [(offset, run)] = runs(ring, {slot: (7.0, 8.0)}, NOW)
    put(stored, offset, run)
    assert read(ring, stored, slot + DAY) == {slot: (7.0, 8.0)}
    assert read(ring, stored, slot + DAY + step - 0.001) == {slot: (7.0, 8.0)}
    for turn in range(1, 50):
        assert read(ring, stored, slot + turn * step * ring.rows) == {}


@pytest.mark.parametrize("age", [-1, 1_441, 1_442, 3 * 1_441])
def test_a_slot_outside_of_the_window_is_not_written(age):
    ring = Ring()
    assert runs(ring, {ring.slot(NOW) - age * 60: (1.0, 1.0)}, NOW) == []


def test_neighbouring_slots_are_one_write():
    ring = Ring()
    for first, second in pairwise(runs(ring, {int(slot): (1.0, 1.0) for slot in ring.slots(NOW)}, NOW)):
        assert first[0] > 0 and second[0] == 0  # only the ring's end separates the runs


@pytest.mark.parametrize("stored", [None, b"", bytes(17), bytes(18), bytes(Ring().size), bytes(Ring().size + 100)])
def test_a_missing_short_or_never_written_ring_reads_as_all_missing(stored):
    ring = Ring()
    assert np.isnan(ring.decode([stored], NOW).values).all()
    assert np.isnan(ring.decode_tail([(stored or b"")[:18]], ring.rows * 60 * 20_000, 1).values).all()


def test_a_short_ring_keeps_what_it_has():
    ring = Ring()
    now = ring.rows * 60 * 20_000 + 120  # the slot in progress is in the third row
    stored = bytearray(ring.size)
    for offset, run in runs(ring, {now - 60: (1.0, 2.0), now: (3.0, 4.0)}, now):
        put(stored, offset, run)
    assert read(ring, stored[: 3 * 18], now) == {now - 60: (1.0, 2.0), now: (3.0, 4.0)}
    assert read(ring, stored[: 2 * 18], now) == {now - 60: (1.0, 2.0)}


def test_rings_of_many_markets_are_decoded_each_by_itself():
    ring = Ring()
    rings = []
    for market in range(3):
        stored = bytearray(ring.size)
        for offset, run in runs(ring, {ring.slot(NOW): (market + 1.0, market + 2.0)}, NOW):
            put(stored, offset, run)
        rings.append(bytes(stored))
    windows = ring.decode([*rings, None], NOW).values
    assert windows.shape == (2, 4, 1_441)
    np.testing.assert_array_equal(windows[0, :, -1], [1, 2, 3, np.nan])
    np.testing.assert_array_equal(windows[1, :, -1], [2, 3, 4, np.nan])


def test_no_markets_are_no_windows():
    assert Ring().decode([], NOW).values.shape == (2, 0, 1_441)


@settings(max_examples=25)
@given(case=writes(most=6))
def test_the_real_store_agrees(case, shared_store_server):
    step, made = case
    ring, written = Ring(step), {}
    with connect(shared_store_server.url) as redis:
        redis.flushall()
        store = Store(redis, ring)
        for at, (now, values) in enumerate(made):
            store.write(
                "source", "a:b", np.array(list(values), np.int64), np.array(list(values.values())), now, new=not at
            )
            written |= held(ring, values, now)
            window = store.windows(["a:b"], now).values[:, 0]
            expected = [written.get(int(slot), (np.nan, np.nan)) for slot in ring.slots(now)]
            np.testing.assert_array_equal(window.T, expected)
            for count in (1, 2, ring.rows):
                np.testing.assert_array_equal(store.newest("x", "a:b", now, count)[1].values[:, 0], window[:, -count:])
