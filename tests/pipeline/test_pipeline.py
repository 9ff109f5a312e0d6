import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.candle_files import candles as real_candles
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import DEFAULT_RULES, fresh_steps
from tracker.errors import MustWait, SourceError
from tracker.models import Market, Metric
from tracker.series.candles import accept
from tracker.series.ring import DAY, Ring
from tracker.store.connection import connect
from tracker.store.series import REFETCH, Store

START = 1_700_000_040
NOTHING = (math.nan, math.nan)


class HandClock:
    """A clock that is set by hand."""

    def __init__(self, time):
        self.time = time
        self.speed = 1

    def now(self):
        return self.time


class Exchange:
    """A source in memory: a market's final ``trades`` (slot -> price, volume) as known ``late`` seconds ago.

    The candle that was in progress then has half of its volume and another price. ``fails``: markets -> the error.
    ``meanwhile`` is called once an answer is made and before it is given.
    """

    def __init__(self, clock, trades, step=60):
        self.clock, self.trades, self.step = clock, trades, step
        self.late = 0
        self.fails = {}
        self.asked = []
        self.skew = None
        self.meanwhile = lambda: None

    def markets(self):
        return [Market(id, "a", "b") for id in self.trades]

    def candles(self, market, since):
        market = market.id
        self.asked.append((market, since))
        if market in self.fails:
            raise self.fails[market]
        known = self.clock.now() - self.late
        rows = [
            (slot, price, volume) if slot + self.step <= known else (slot, price * 1.01, volume / 2)
            for slot, (price, volume) in self.trades[market].items()
            if since <= slot <= known
        ]
        answer = accept(rows, since, self.step, self.clock.now())
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return answer


def every_minute(first, count, step=60):
    """A trade in each slot, no two alike."""
    return {first + step * at: (100.0 + at % 17, 1.0 + at % 13) for at in range(count)}


def fetched(store, exchange, market="x:ab"):
    pipeline.fetch(store, "exchange", exchange, market, exchange.clock)


def expected(trades, slots, known):
    """What a ring should hold: (slots, 2), from final trades; silence after the first one is volume 0 at its price."""
    rows, last = [], math.nan
    first = min(trades)
    for slot in range(min(first, int(slots[0])), int(slots[-1]) + 1, int(slots[1] - slots[0])):
        price, volume = trades.get(slot, (last, 0.0 if slot > first else math.nan))
        last = price
        if slot >= slots[0]:
            rows.append((price, volume) if slot + 60 <= known or slot not in trades else (price * 1.01, volume / 2))
    return np.array(rows)


def window(store, now, market="x:ab"):
    return store.windows([market], now).values[:, 0].T


def assert_final(store, exchange, market="x:ab", ago=0):
    """All slots that were closed ``ago`` seconds ago hold what the exchange says in the end."""
    now = exchange.clock.now() - ago
    slots = store.ring.slots(now)[:-1]
    np.testing.assert_array_equal(window(store, now, market)[:-1], expected(exchange.trades[market], slots, math.inf))


# Fetch


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
    # and an ordinary one asks for two slots
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
    # given a market with history, of which the source suddenly knows nothing
    exchange = Exchange(HandClock(START + 110), {"x:ab": every_minute(START, 200)})
    fetched(store, exchange)
    trades, exchange.trades["x:ab"] = exchange.trades["x:ab"], {}
    exchange.clock.time += 300
    fetched(store, exchange)
    # when it knows again
    exchange.trades["x:ab"] = trades
    exchange.clock.time += 60
    fetched(store, exchange)
    # then
    assert_final(store, exchange)


@pytest.mark.parametrize("minutes", [5, 62, 64, 100, 600])
def test_candles_that_a_source_held_back_are_stored_when_they_come(store, minutes):
    # given a source whose newest candles stay the same for a while, as a stuck cache's, and that is asked meanwhile
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
    # then the silence it pretended is gone
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
    # given a fetch of a source that is a little late; once it has its answer, its process is stopped for a while
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
    # when it goes on and writes, and others fetch after it
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
def test_whatever_the_fetches_the_ring_ends_as_the_final_candles(store_server, trades, fetches):
    """``fetches``: (seconds passed, seconds the source is late); what a source has shown it does not forget."""
    final = {START + 60 * at: (float(price), float(volume)) for at, (price, volume) in sorted(trades.items())}
    final[START + 60 * 301] = (5.0, 5.0)
    with connect(store_server.url) as redis:
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
        # when it is asked once more, after its last candle has closed
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
def test_no_value_that_was_called_final_changes(store_server, trades, fetches, behind):
    """``fetches``: (seconds passed, seconds until its answer is stored); ``behind``: seconds of the source's clock."""
    truth = {START + 60 * at: (float(price), float(volume)) for at, (price, volume) in sorted(trades.items())}
    with connect(store_server.url) as redis:
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
        # then what was called final is what the source says in the end
        for slot, (price, volume) in called_final.items():
            assert truth.get(slot, (price, 0.0)) == (price, volume)


def test_a_slot_that_has_ended_is_final_once_its_source_was_asked_again(store, redis):
    # given a market that was asked for early in a minute, which is over by now
    exchange = Exchange(HandClock(START + 605), {"x:ab": every_minute(START, 100)})
    fetched(store, exchange)
    exchange.clock.time += 60
    values, [final] = store.windows(["x:ab"], exchange.clock.now())
    assert final == 1_439 and values[1, 0, final] == every_minute(START, 100)[START + 600][1] / 2
    # when it is evaluated, then the slot is shown, and counts for nothing
    evaluated(store, redis, ["x:ab"], exchange.clock.now())
    summary = store.standing(Metric("x:ab", "volume")).summary
    assert (summary.slot, summary.last) == (START + 600, values[1, 0, final])
    assert summary.mean == np.nanmean(values[1, 0, :final])
    # and once it was asked for again
    fetched(store, exchange)
    evaluated(store, redis, ["x:ab"], exchange.clock.now())
    values, [final] = store.windows(["x:ab"], exchange.clock.now())
    assert final == 1_440 and values[1, 0, -2] == every_minute(START, 100)[START + 600][1]
    assert store.standing(Metric("x:ab", "volume")).summary.mean == pytest.approx(np.nanmean(values[1, 0, :-1]))


def test_a_late_write_of_an_unfinished_slot_is_not_final_and_heals(store):
    # given a slot that is final, written over by a process that was stopped between its answer and its write
    exchange = Exchange(HandClock(START + 630), {"x:ab": every_minute(START, 100)})
    fetched(store, exchange)
    exchange.clock.time += 300
    fetched(store, exchange)
    store.write("exchange", "x:ab", np.array([START + 600]), np.array([[1.0, 2.0]]), START + 630)
    assert store.windows(["x:ab"], exchange.clock.now()).final[0] == 1_440 - 5
    # when it is fetched again
    fetched(store, exchange)
    # then
    assert exchange.asked[-1] == ("x:ab", START + 600)
    assert store.windows(["x:ab"], exchange.clock.now()).final[0] == 1_440
    assert_final(store, exchange)


def test_a_source_error_stores_nothing_and_is_counted_and_leaves_other_markets_alone(store, redis, caplog):
    # given
    exchange = Exchange(HandClock(START + 900), {"x:ab": every_minute(START, 30), "x:cd": every_minute(START, 30)})
    fetched(store, exchange)
    [key] = redis.keys("dt1:ring:*")
    before = redis.get(key)
    # when
    exchange.clock.time += 60
    exchange.fails["x:ab"] = SourceError("not_json", "answered what is no JSON")
    for market in ("x:ab", "x:cd", "x:ab"):
        fetched(store, exchange, market)
    # then
    assert redis.get(key) == before
    assert_final(store, exchange, "x:cd")
    status = store.status("exchange")
    assert status["refused:not_json"] == "2"
    assert status["last_error"] == "x:ab: not_json: answered what is no JSON"
    assert status["last_error_at"] == f"{START + 960:.3f}"
    assert "nothing stored of x:ab: not_json" in caplog.text
    # and the gap is filled later
    exchange.fails.clear()
    exchange.clock.time += 60
    fetched(store, exchange)
    assert_final(store, exchange)


def test_refused_candles_are_counted_and_stay_as_they_were(store):
    trades = every_minute(START, 5)
    exchange = Exchange(HandClock(START + 290), {"x:ab": trades | {START + 120: (math.nan, 1.0)}})
    fetched(store, exchange)
    assert store.status("exchange")["refused:not_finite"] == "1"
    stored = window(store, START + 290)
    assert np.isnan(stored[-3]).all()
    np.testing.assert_array_equal(stored[[-5, -4, -2]], [trades[START], trades[START + 60], trades[START + 180]])


def test_after_24_hours_a_sample_is_gone(store):
    exchange = Exchange(HandClock(START + 30), {"x:ab": {START: (5.0, 5.0)}})
    fetched(store, exchange)
    assert not np.isnan(window(store, START + DAY)).all()
    assert np.isnan(window(store, START + DAY + 60)).all()


def test_refresh_takes_the_catalogue_and_refuses_an_empty_one(store):
    exchange = Exchange(HandClock(START), {"x:cd": {}, "x:ab": {}})
    assert pipeline.refresh(store, "exchange", exchange, START) == ["x:ab", "x:cd"]
    exchange.trades = {}
    with pytest.raises(SourceError) as refusal:
        pipeline.refresh(store, "exchange", exchange, START)
    assert refusal.value.reason == "no_markets"
    assert store.status("exchange")["refused:no_markets"] == "1"
    assert "catalogue" in store.status("exchange")["last_error"]
    assert list(store.watched("exchange")) == ["x:ab", "x:cd"]


def test_a_market_that_a_source_before_it_watches_is_left_to_that(store):
    real = Exchange(HandClock(START), {"x:ab": {}, "x:cd": {}})
    other = Exchange(HandClock(START), {"x:cd": {}, "x:ef": {}})
    pipeline.refresh(store, "real", real, START)
    assert pipeline.refresh(store, "other", other, START, earlier=["real"]) == ["x:ef"]
    other.trades = {"x:cd": {}}
    with pytest.raises(SourceError, match="watch all its 1 markets"):
        pipeline.refresh(store, "other", other, START, earlier=["real"])


# Evaluate


def evaluated(store, redis, markets, now, rules=DEFAULT_RULES):
    return pipeline.evaluate(store, Outbox(redis), rules, markets, now).alerts


def spiking(volume):
    """An hour and a half at a volume of 100, then ``volume`` in the slot in progress, all as final candles."""
    return {START + 60 * at: (10.0, 100.0) for at in range(90)} | {START + 5_400: (10.0, volume)}


@pytest.mark.parametrize(("volume", "alerts"), [(301.0, 1), (300.0, 0)])
def test_a_volume_above_three_times_its_hour_alerts(store, redis, volume, alerts):
    # given: the slot in progress as the exchange will show it, half of its final volume
    exchange = Exchange(HandClock(START + 5_420), {"x:ab": spiking(2 * volume)})
    fetched(store, exchange)
    # when
    found = evaluated(store, redis, ["x:ab"], START + 5_420)
    # then
    assert [(alert.metric, alert.slot, alert.value, alert.baseline) for alert in found] == [
        ("x:ab:volume", START + 5_400, volume, 100.0)
    ] * alerts


def test_evaluating_twice_makes_one_alert(store, redis):
    exchange = Exchange(HandClock(START + 5_420), {"x:ab": spiking(1_000.0)})
    fetched(store, exchange)
    [alert] = evaluated(store, redis, ["x:ab"], START + 5_420)
    assert evaluated(store, redis, ["x:ab"], START + 5_420) == []
    # nor does the finished candle make another
    exchange.clock.time += 60
    fetched(store, exchange)
    assert evaluated(store, redis, ["x:ab"], START + 5_480) == []
    assert Outbox(redis).newest() == [alert]


def test_a_backfilled_spike_alerts_nobody(store, redis):
    exchange = Exchange(HandClock(START + 5_400 + 200), {"x:ab": spiking(1_000.0)})
    fetched(store, exchange)
    assert evaluated(store, redis, ["x:ab"], START + 5_400 + 200) == []


@pytest.mark.parametrize(("interval", "alerts"), [(60, 0), (300, 1)])
def test_a_slot_that_is_older_than_that_alerts_if_samples_are_that_far_apart(store, redis, interval, alerts):
    exchange = Exchange(HandClock(START + 5_400 + 250), {"x:ab": spiking(1_000.0)})
    fetched(store, exchange)
    fresh = fresh_steps(interval, 60)
    found = pipeline.evaluate(store, Outbox(redis), DEFAULT_RULES, ["x:ab"], START + 5_400 + 250, fresh=fresh)
    assert len(found.alerts) == alerts


def test_many_markets_are_evaluated_as_each_would_be(store, redis):
    # given more than fit into a chunk, one without samples
    ids = [f"x:m{number}" for number in range(pipeline.CHUNK + 3)]
    exchange = Exchange(HandClock(START + 6_030), {id: every_minute(START, 60 + at) for at, id in enumerate(ids)})
    exchange.trades[ids[3]] = {}
    for id in ids:
        fetched(store, exchange, id)
    # when
    evaluated(store, redis, ids, START + 6_030)
    # then
    found, summaries = store.summaries("volume")
    assert set(found) == {f"{id}:volume" for id in ids if id != ids[3]}
    for id in set(ids) - {ids[3]}:
        assert summaries["stddev"][found.index(f"{id}:volume")] == pytest.approx(
            np.nanstd(window(store, START + 6_030, id)[:-1, 1])
        )


def test_evaluating_no_markets_is_nothing(store, redis):
    assert evaluated(store, redis, [], START) == []


def test_a_delisted_market_is_evaluated_until_its_samples_are_gone(store, redis):
    # given a market that was ranked and left the catalogue
    exchange = Exchange(HandClock(START + 600), {"x:ab": every_minute(START, 10), "x:cd": every_minute(START, 10)})
    for id in pipeline.refresh(store, "exchange", exchange, START):
        fetched(store, exchange, id)
    evaluated(store, redis, ["x:ab", "x:cd"], START + 600)
    del exchange.trades["x:ab"]
    pipeline.refresh(store, "exchange", exchange, START)
    assert pipeline.leavers(store, ["exchange"]) == ["x:ab"]
    # when its samples leave the window
    evaluated(store, redis, ["x:ab"], START + 600 + DAY + 60)
    # then
    assert pipeline.leavers(store, ["exchange"]) == []
    assert store.standing(Metric("x:ab", "price")) is None


# Real candles


PAIRS = ["adabtc", "powrbtc", "zecbtc", "nxtbtc"]
REPLAY_FROM = 1_516_424_100 + 30 * 3_600  # the file's first candle in all pairs is older
MINUTES = 240


def rising_edges(series, first_alerting):
    """Alerts (slot, value, baseline) of the mission's rule on minutes seen once, 30 s after they open.

    ``series``: slot -> (value when seen in progress, final value), every minute. Written out in plain loops: of what is
    seen at a time, the two closed minutes before the one in progress and itself can alert, an hour apart at least.
    """
    slots = sorted(series)
    final = [series[slot][1] for slot in slots]
    firing, alerts = False, []
    was_firing = []
    for at, value in enumerate(final):
        baseline = sum(final[max(0, at - 60) : at]) / 60 if at >= 60 else None
        was_firing.append((firing, baseline))
        if baseline and value > 3 * baseline:
            firing = True
        elif baseline and value <= 2 * baseline:
            firing = False
    for now in range(len(slots)):
        if slots[now] < first_alerting:
            continue
        for at, value in ((now - 2, final[now - 2]), (now - 1, final[now - 1]), (now, series[slots[now]][0])):
            before, baseline = was_firing[at]
            rising = baseline and value > 3 * baseline and not before
            if rising and (not alerts or slots[at] - alerts[-1][0] >= 3_600):
                alerts.append((slots[at], value, baseline))
    return alerts


def test_real_candles_replayed_minute_by_minute(store, redis):
    # given four real markets, 30 s into a minute
    clock = HandClock(REPLAY_FROM + 30)
    exchange = Exchange(clock, {f"real:{pair}": real_candles(pair) for pair in PAIRS})
    markets = pipeline.refresh(store, "exchange", exchange, START)
    # when
    alerts = []
    for _ in range(MINUTES):
        for market in markets:
            fetched(store, exchange, market)
        alerts += evaluated(store, redis, markets, clock.now())
        clock.time += 60
    now = clock.now() - 60
    # then the rings equal the files, silent minutes with volume 0 at the last price
    slots = store.ring.slots(now)
    for market in markets:
        trades = exchange.trades[market]
        whole = expected(trades, slots, now)
        np.testing.assert_array_equal(window(store, now, market), whole)
        assert any(int(slot) not in trades for slot in slots) or market == "real:adabtc"
        # and the summaries equal numpy's
        for column, field in enumerate(("price", "volume")):
            summary, rank, _ = store.standing(Metric(market, field))
            closed = whole[:-1, column]
            assert (summary.slot, summary.last, rank.of) == (slots[-1], whole[-1, column], len(PAIRS))
            assert summary.mean == pytest.approx(closed.mean(), rel=1e-9)
            assert summary.stddev == pytest.approx(closed.std(), rel=1e-9)
            assert summary.mean_1h == pytest.approx(closed[-60:].mean(), rel=1e-9)
    for field in range(2):
        spread = {market: expected(exchange.trades[market], slots, now)[:-1, field].std() for market in markets}
        ranking = store.ranking(("price", "volume")[field])
        assert [metric.rpartition(":")[0] for metric in ranking] == sorted(spread, key=spread.get, reverse=True)
    # and the alerts are those of plain loops
    found = {(alert.metric, alert.slot): alert for alert in alerts}
    assert len(found) == len(alerts)
    computed = {}
    for market in markets:
        timeline = np.arange(REPLAY_FROM - DAY, slots[-1] + 1, 60)
        final = expected(exchange.trades[market], timeline, math.inf)
        for column, field in enumerate(("price", "volume")):
            factor = (1.01, 0.5)[column]
            series = {
                int(slot): (value * (factor if int(slot) in exchange.trades[market] else 1), value)
                for slot, value in zip(timeline, final[:, column].tolist(), strict=True)
            }
            for slot, value, baseline in rising_edges(series, REPLAY_FROM):
                computed[f"{market}:{field}", slot] = (value, baseline)
    assert found.keys() == computed.keys()
    assert len(found) >= 10
    for key, (value, baseline) in computed.items():
        assert found[key].value == value
        assert found[key].baseline == pytest.approx(baseline, rel=1e-9)
