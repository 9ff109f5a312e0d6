"""Evaluating: each alert comes once, and real candles are replayed minute by minute."""

import math

import numpy as np
import pytest

from tests.support.candle_files import candles as real_candles
from tests.support.hand_driven import (
    START,
    Exchange,
    HandClock,
    evaluated,
    every_minute,
    expected,
    fetched,
    window,
)
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import DEFAULT_RULES, fresh_steps
from tracker.models import Metric
from tracker.series.ring import DAY


def spiking(volume):
    """An hour and a half at a volume of 100, then ``volume`` in the slot in progress, all as final candles."""
    return {START + 60 * at: (10.0, 100.0) for at in range(90)} | {START + 5_400: (10.0, volume)}


@pytest.mark.parametrize(("volume", "alerts"), [(301.0, 1), (300.0, 0)])
def test_a_volume_above_three_times_its_hour_alerts(store, redis, volume, alerts):
    # given: the slot in progress with half of its final volume
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
    # and the finished candle makes no other alert
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
    # given more markets than fit into a chunk, one without samples
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


PAIRS = ["adabtc", "powrbtc", "zecbtc", "nxtbtc"]
REPLAY_FROM = 1_516_424_100 + 30 * 3_600  # every pair's first candle is older
MINUTES = 240


def rising_edges(series, first_alerting):
    """The alerts (slot, value, baseline) of the default rule, if each minute is seen once, 30 s after it opens.

    ``series``: slot -> (value seen in progress, final value), for every minute. Written in plain loops. At a time, the
    slot in progress and the two closed ones before it can alert. Two alerts are an hour apart at least.
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
        # and the summaries equal numpy's results
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
    # and the alerts equal those of the plain loops
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
