"""Sources that fail or answer wrongly, samples that are a day old, and catalogues."""

import math

import numpy as np
import pytest

from tests.support.hand_driven import (
    START,
    Exchange,
    HandClock,
    assert_final,
    every_minute,
    fetched,
    window,
)
from tracker import pipeline
from tracker.errors import SourceError
from tracker.series.ring import DAY


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
