"""Fetching: the store agrees with the source's final candles, whatever happens on the way."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hand_driven import (
    START,
    Exchange,
    HandClock,
    assert_final,
    evaluated,
    every_minute,
    expected,
    fetched,
    window,
)
from tracker.errors import MustWait
from tracker.models import Metric
from tracker.series.ring import DAY, Ring
from tracker.store.connection import connect
from tracker.store.series import REFETCH, Store

NOTHING = (math.nan, math.nan)


def test_the_first_fetch_is_the_backfill(store):
    exchange = Exchange(HandClock(START + 2 * DAY + 20), {"x:ab": every_minute(START, 2 * 1_440 + 1)})
    fetched(store, exchange)
    assert exchange.asked == [("x:ab", START + DAY)]
    now = exchange.clock.now()
    np.testing.assert_array_equal(
        window(store, now), expected(exchange.trades["x:ab"], store.ring.slots(now), known=now)
    )


def test_a_fetch_repeated_changes_nothing(store, redis):
    exchange = Exchange(HandClock(START + 500), {"x:ab": every_minute(START, 60)})
    fetched(store, exchange)
    [key] = redis.keys("dt1:ring:*")
    before = redis.get(key)
    for _ in range(3):
        fetched(store, exchange)
    assert redis.get(key) == before
    # and an ordinary fetch asks for two slots
    assert exchange.asked[1:] == [("x:ab", START + 420)] * 3


def test_an_unfinished_candle_is_written_over_by_the_finished_one(store):
    exchange = Exchange(HandClock(START + 110), {"x:ab": every_minute(START, 60)})
    for seconds in (0, 5, 60, 60, 240):
        exchange.clock.time += seconds
        fetched(store, exchange)
    assert_final(store, exchange)


def test_a_fetch_after_an_outage_fills_the_gap(store):
    exchange = Exchange(HandClock(START + 600), {"x:ab": every_minute(START, 2_000)})
    fetched(store, exchange)
    exchange.clock.time += 6 * 3_600
    fetched(store, exchange)
    assert_final(store, exchange)


def test_what_was_lost_in_the_middle_is_fetched_again_once(store, redis):
    exchange = Exchange(HandClock(START + 600), {"x:ab": every_minute(START - DAY, 1_500)})
    fetched(store, exchange)
    offset = START % (store.ring.rows * 60) // 60 * 18
    redis.setrange("dt1:ring:x:ab", offset, bytes(5 * 18))
    exchange.clock.time += 60
    fetched(store, exchange)
    assert exchange.asked[-1][1] > START + 500
    assert np.isnan(window(store, exchange.clock.now())).any()

    redis.hset(REFETCH, "x:ab", 0)
    fetched(store, exchange)
    assert exchange.asked[-1] == ("x:ab", store.ring.first(exchange.clock.now()))
    assert_final(store, exchange)
    fetched(store, exchange)
    assert exchange.asked[-1][1] > START + 500
    assert not redis.exists(REFETCH)


def test_a_budget_that_pays_for_a_part_leaves_the_rest_of_what_was_lost_for_later(store, redis):
    exchange = Exchange(HandClock(START + 600), {"x:ab": every_minute(START - DAY, 1_500)})
    fetched(store, exchange)
    redis.hset(REFETCH, "x:ab", 0)
    whole = exchange.candles
    exchange.candles = lambda market, since: replace(whole(market, since), until=START)
    with pytest.raises(MustWait):
        fetched(store, exchange)
    assert redis.hget(REFETCH, "x:ab") == b"%d" % START
    exchange.candles = whole
    fetched(store, exchange)
    assert exchange.asked[-1] == ("x:ab", START)
    assert not redis.exists(REFETCH)


def test_after_more_than_a_day_away_a_market_is_new_again(store):
    exchange = Exchange(HandClock(START + 600), {"x:ab": every_minute(START, 6_000)})
    fetched(store, exchange)
    exchange.clock.time += 3 * DAY
    fetched(store, exchange)
    assert_final(store, exchange)


def test_a_silent_market_is_volume_0_at_its_last_price(store):
    exchange = Exchange(HandClock(START + 90), {"x:ab": every_minute(START, 2)})
    for _ in range(20):
        exchange.clock.time += 60
        fetched(store, exchange)
    assert_final(store, exchange)


def test_a_market_that_never_traded_is_missing(store):
    exchange = Exchange(HandClock(START), {"x:ab": {}})
    for _ in range(3):
        fetched(store, exchange)
    assert np.isnan(window(store, START)).all()
    assert "last_success" in store.status("exchange")


def test_a_source_that_falls_silent_on_a_known_market_is_no_fault_of_ours(store):
    # given a market with a past, which the source suddenly forgets
    exchange = Exchange(HandClock(START + 110), {"x:ab": every_minute(START, 200)})
    fetched(store, exchange)
    trades, exchange.trades["x:ab"] = exchange.trades["x:ab"], {}
    exchange.clock.time += 300
    fetched(store, exchange)
    # when the source knows it again
    exchange.trades["x:ab"] = trades
    exchange.clock.time += 60
    fetched(store, exchange)
    # then
    assert_final(store, exchange)


@pytest.mark.parametrize("minutes", [5, 62, 64, 100, 600])
def test_candles_that_a_source_held_back_are_stored_when_they_come(store, minutes):
    # given a source whose newest candles stay the same for a while, like a stuck cache, and fetches meanwhile
    exchange = Exchange(HandClock(START + 3_000), {"x:ab": every_minute(START, 2_000)})
    fetched(store, exchange)
    for _ in range(minutes):
        exchange.clock.time += 60
        exchange.late += 60
        fetched(store, exchange)
    # when it catches up
    exchange.late = 0
    exchange.clock.time += 60
    fetched(store, exchange)
    # then the slots without a trade, which were inferred, are gone
    assert_final(store, exchange)


@pytest.mark.parametrize("step", [60, 180, 300, 900, 1_800, 3_600])
def test_every_step_that_can_be_set_is_sampled(redis, step):
    store = Store(redis, Ring(step))
    start = START - START % DAY
    exchange = Exchange(HandClock(start + 5.5 * step), {"x:ab": every_minute(start, 500, step)}, step)
    for _ in range(40):
        fetched(store, exchange)
        exchange.clock.time += step
    assert "refused:internal_error" not in store.status("exchange")
    slots = store.ring.slots(exchange.clock.now() - step)[:-1]
    stored = store.windows(["x:ab"], exchange.clock.now() - step).values[:, 0, :-1].T
    np.testing.assert_array_equal(stored, [exchange.trades["x:ab"].get(int(slot), NOTHING) for slot in slots])


def test_two_fetches_of_one_market_at_once_make_the_same_as_one(store_server, store):
    exchange = Exchange(HandClock(START + 30_000), {"x:ab": every_minute(START, 600)})
    barrier = threading.Barrier(4)

    def fetch():
        with connect(store_server.url) as redis:
            own = Exchange(exchange.clock, exchange.trades)
            own.meanwhile = lambda: barrier.wait(30)
            fetched(Store(redis, Ring()), own)

    for _ in range(10):
        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        exchange.clock.time += 60
        assert_final(store, exchange, ago=60)


@pytest.mark.parametrize("late", [0, 30, 90, 600])
@pytest.mark.parametrize("held_up", [31, 60, 600, 7_200])
def test_an_answer_that_was_held_up_leaves_nothing_unfinished_or_older(store, late, held_up):
    # given a fetch of a source that is a little late, and whose process stops for a while after the answer
    exchange = Exchange(HandClock(START + 4_000), {"x:ab": every_minute(START, 2_000)})
    fetched(store, exchange)
    exchange.clock.time += 640
    exchange.late = late

    def meanwhile():
        exchange.late = 0
        for _ in range(3):
            exchange.clock.time += held_up / 3
            fetched(store, exchange)

    exchange.meanwhile = meanwhile
    # when it continues and writes, and others fetch after it
    fetched(store, exchange)
    exchange.clock.time += 60
    fetched(store, exchange)
    # then
    assert_final(store, exchange)


def test_an_answer_of_yesterday_does_no_harm(store):
    exchange = Exchange(HandClock(START + 4_000), {"x:ab": every_minute(START, 6_000)})
    fetched(store, exchange)

    def meanwhile():
        exchange.clock.time += 2 * DAY
        fetched(store, exchange)

    exchange.meanwhile = meanwhile
    fetched(store, exchange)
    exchange.clock.time += 60
    fetched(store, exchange)
    assert_final(store, exchange)


@settings(max_examples=40)
@given(
    trades=st.dictionaries(st.integers(0, 300), st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=60),
    fetches=st.lists(
        st.tuples(st.integers(0, 90) | st.integers(0, 7_000), st.sampled_from([0, 0, 20, 100, 5_000])), max_size=15
    ),
)
def test_whatever_the_fetches_the_ring_ends_as_the_final_candles(shared_store_server, trades, fetches):
    """``fetches``: (seconds passed, seconds the source is late). A source never forgets what it has shown."""
    final = {START + 60 * at: (float(price), float(volume)) for at, (price, volume) in sorted(trades.items())}
    final[START + 60 * 301] = (5.0, 5.0)
    with connect(shared_store_server.url) as redis:
        redis.flushall()
        store = Store(redis, Ring())
        clock = HandClock(START)
        exchange = Exchange(clock, {"x:ab": final})
        known = START
        for passed, late in fetches:
            clock.time += passed
            known = max(known, clock.time - late)
            exchange.late = clock.time - known
            fetched(store, exchange)
        # when the source is asked again after its last candle has closed
        exchange.late = 0
        clock.time = max(clock.time, START + 60 * 302) + 30
        fetched(store, exchange)
        assert_final(store, exchange)


@settings(max_examples=60)
@given(
    trades=st.dictionaries(st.integers(0, 60), st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=50),
    fetches=st.lists(
        st.tuples(st.integers(0, 90) | st.integers(0, 2_000), st.sampled_from([0, 0, 1, 59, 60, 61, 400])), max_size=15
    ),
    behind=st.sampled_from([0, 0, 0, 1.4, 7, 75]),
)
def test_no_value_that_was_called_final_changes(shared_store_server, trades, fetches, behind):
    """``fetches``: (seconds passed, seconds until the answer is stored); ``behind``: seconds its clock lags."""
    truth = {START + 60 * at: (float(price), float(volume)) for at, (price, volume) in sorted(trades.items())}
    with connect(shared_store_server.url) as redis:
        redis.flushall()
        store = Store(redis, Ring())
        exchange = Exchange(HandClock(START), {"x:ab": truth})
        exchange.late, exchange.skew = behind, -behind if behind else None
        called_final = {}

        def look():
            values, [final] = store.windows(["x:ab"], exchange.clock.now())
            slots = store.ring.slots(exchange.clock.now())[:final]
            assert final < store.ring.rows and (slots + 60 <= exchange.clock.now()).all()
            for slot, value in zip(slots.tolist(), values[:, 0, :final].T.tolist(), strict=True):
                if value[0] == value[0]:
                    assert called_final.setdefault(slot, value) == value

        def wait(seconds):
            exchange.clock.time += seconds
            look()

        for passed, held_up in fetches:
            wait(passed)
            exchange.meanwhile = lambda held_up=held_up: wait(held_up)
            fetched(store, exchange)
            look()
        # then the final samples are the ones that the source has in the end
        for slot, (price, volume) in called_final.items():
            assert truth.get(slot, (price, 0.0)) == (price, volume)


def test_a_slot_that_has_ended_is_final_once_its_source_was_asked_again(store, redis):
    # given a market that was fetched early in a minute that is now over
    exchange = Exchange(HandClock(START + 605), {"x:ab": every_minute(START, 100)})
    fetched(store, exchange)
    exchange.clock.time += 60
    values, [final] = store.windows(["x:ab"], exchange.clock.now())
    assert final == 1_439 and values[1, 0, final] == every_minute(START, 100)[START + 600][1] / 2
    # when it is evaluated, then the slot is shown but does not count
    evaluated(store, redis, ["x:ab"], exchange.clock.now())
    summary = store.standing(Metric("x:ab", "volume")).summary
    assert (summary.slot, summary.last) == (START + 600, values[1, 0, final])
    assert summary.mean == np.nanmean(values[1, 0, :final])
    # and when it is fetched again
    fetched(store, exchange)
    evaluated(store, redis, ["x:ab"], exchange.clock.now())
    values, [final] = store.windows(["x:ab"], exchange.clock.now())
    assert final == 1_440 and values[1, 0, -2] == every_minute(START, 100)[START + 600][1]
    assert store.standing(Metric("x:ab", "volume")).summary.mean == pytest.approx(np.nanmean(values[1, 0, :-1]))


def test_a_late_write_of_an_unfinished_slot_is_not_final_and_heals(store):
    # given a final slot, overwritten by a process that stopped between its answer and its write
    exchange = Exchange(HandClock(START + 630), {"x:ab": every_minute(START, 100)})
    fetched(store, exchange)
    exchange.clock.time += 300
    fetched(store, exchange)
    store.write("exchange", "x:ab", np.array([START + 600]), np.array([[1.0, 2.0]]), START + 630)
    assert store.windows(["x:ab"], exchange.clock.now()).final[0] == 1_440 - 5
    # when the market is fetched again
    fetched(store, exchange)
    # then
    assert exchange.asked[-1] == ("x:ab", START + 600)
    assert store.windows(["x:ab"], exchange.clock.now()).final[0] == 1_440
    assert_final(store, exchange)
