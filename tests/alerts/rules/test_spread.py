"""The kind ``spread``: a price against the median of its pair's exchanges, slot by slot."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.alerts.rules import Series, Spread, firings, screen
from tracker.alerts.rules.spread import medians, pair_of

MARKETS = ["a:btcusd", "b:btcusd", "c:btcusd", "d:btcusd"]
RULE = Spread(name="off", percent=1)


def pairs(markets):
    return [pair_of(market) for market in markets]


def found(prices, volumes=None, rule=RULE, markets=MARKETS, steps=None):
    """(market, column counted from the end) of each edge. ``prices``: the slots of each market, which all are known."""
    prices = np.array(prices, float)
    volumes = np.ones(prices.shape) if volumes is None else np.array(volumes, float)
    markets = markets[: len(prices)]
    beside = medians(pairs(markets), pairs(markets), prices, volumes) | {"volume": volumes}
    series = Series(prices, 60, [f"{market}:price" for market in markets], beside, closed=True)
    slots = prices.shape[1]
    edges = firings(series, [rule], slots - 1 if steps is None else steps)
    return [(markets[edge.row][0], edge.column - slots) for _, edge in edges]


def test_the_one_exchange_that_is_off_fires_and_the_others_do_not():
    assert found([[100, 102], [100, 100], [100, 100.5]]) == [("a", -1)]
    assert found([[100, 100], [100, 98], [100, 100.5]]) == [("b", -1)]
    assert found([[100, 101], [100, 100], [100, 100]]) == []


def test_a_move_of_all_exchanges_is_no_difference():
    assert found([[100, 120], [100, 120.5], [100, 119.6]]) == []


def test_two_exchanges_cannot_tell_which_one_is_off():
    assert found([[100, 150], [100, 100]]) == []
    assert found([[100, 150], [100, 100], [100, np.nan]]) == []
    four = Spread(percent=1, exchanges=4)
    assert found([[150], [100], [100]], rule=four) == []
    assert found([[150], [100], [100], [100]], rule=four) == [("a", -1)]


def test_an_even_number_of_exchanges_has_the_mean_of_the_two_in_the_middle():
    prices = np.array([[90.0], [100.0], [102.0], [200.0]])
    both = medians(["btcusd"], pairs(MARKETS), prices, np.ones(prices.shape))
    assert (both["median"].tolist(), both["exchanges"].tolist()) == ([[101.0]], [[4.0]])


def test_a_price_without_a_trade_is_old_and_does_not_count():
    assert found([[102], [100], [100]], [[0], [1], [1]]) == []
    assert found([[102], [100], [100]], [[1], [0], [1]]) == []
    assert found([[102], [100], [100], [100]], [[1], [0], [1], [1]]) == [("a", -1)]
    # where volumes are not known, prices are samples of this minute
    assert found([[102], [100], [100]], [[np.nan]] * 3) == [("a", -1)]


def test_it_has_a_direction_and_a_clear_level():
    up, down = (Spread(percent=1, direction=direction) for direction in ("up", "down"))
    for rule, rises, falls in ((up, 1, 0), (down, 0, 1)):
        assert len(found([[102], [100], [100]], rule=rule)) == rises
        assert len(found([[98], [100], [100]], rule=rule)) == falls
    others = [[100] * 3] * 2
    assert found([[102, 100.6, 102], *others]) == [("a", -3)]
    assert found([[102, 100.5, 102], *others]) == [("a", -3), ("a", -1)]


def test_pairs_and_markets_that_nobody_else_trades_have_no_median():
    prices = np.array([[100.0], [50.0]])
    both = medians(["btcusd", "none"], ["btcusd", "ethusd"], prices, np.ones((2, 1)))
    np.testing.assert_array_equal(both["exchanges"], [[1], [0]])
    np.testing.assert_array_equal(both["median"], [[100], [np.nan]])
    assert medians([], [], np.empty((0, 3)), np.empty((0, 3)))["median"].shape == (0, 3)


def test_an_alert_says_what_the_others_ask():
    prices = np.array([[102.5], [100.0], [100.2]])
    beside = medians(pairs(MARKETS[:3]), pairs(MARKETS[:3]), prices, np.ones((3, 1))) | {"volume": np.ones((3, 1))}
    series = Series(prices, 60, [f"{market}:price" for market in MARKETS[:3]], beside, closed=True)
    [(rule, edge)] = firings(series, [RULE], 0)
    alert = edge.alert(rule, "a:btcusd:price", 60, 61.0)
    assert alert.text == ("a:btcusd:price: 102.5 is +2.30 % from 100.2, the median of 3 exchanges, beyond 1 %")
    assert alert.details == {"median": 100.2, "exchanges": 3, "percent": pytest.approx(2.29541, rel=1e-5)}
    assert (alert.baseline, alert.samples, alert.window, alert.factor) == (100.2, 3, 0, 1)


@pytest.mark.parametrize("options", [{"exchanges": 2}, {"clear_percent": 2}, {"match": ("*:volume",)}, {"percent": 0}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        Spread(**{"percent": 1} | options)


def plainly(prices, volumes, markets, rule):
    """The (market, column) of all edges, by plain loops over markets and slots."""
    edges = []
    for row, market in enumerate(markets):
        firing = False
        for at in range(len(prices[row])):
            known = [
                prices[other][at]
                for other, name in enumerate(markets)
                if name.split(":")[1] == market.split(":")[1]
                and volumes[other][at] != 0
                and not np.isnan(prices[other][at])
            ]
            price = prices[row][at]
            if np.isnan(price) or volumes[row][at] == 0 or len(known) < rule.exchanges:
                continue
            percent = (price / statistics.median(known) - 1) * 100 / (1 + 1e-12)
            level = {"up": percent, "down": -percent, "both": abs(percent)}[rule.direction]
            if level > rule.percent and not firing:
                edges.append((row, at))
            firing = level > rule.percent or (firing and level > rule.percent / 2)
    return edges


price = st.sampled_from([90, 99, 99.5, 100, 100, 100, 100.6, 101, 103, np.nan]).map(float)
volume = st.sampled_from([0, 1, 1, 1, np.nan]).map(float)
names = st.lists(st.sampled_from([f"{each}:{pair}" for each in "abcde" for pair in ("btcusd", "ethusd")]), min_size=1,
                 max_size=8, unique=True)  # fmt: skip


@settings(max_examples=200)
@given(names, st.integers(1, 8), st.data(), st.sampled_from(["up", "down", "both"]), st.sampled_from([3, 4]))
def test_all_markets_at_once_find_what_plain_loops_find(markets, slots, data, direction, exchanges):
    prices, volumes = (
        np.array([data.draw(st.lists(each, min_size=slots, max_size=slots)) for _ in markets])
        for each in (price, volume)
    )
    rule = Spread(percent=1, direction=direction, exchanges=exchanges)
    beside = medians(pairs(markets), pairs(markets), prices, volumes) | {"volume": volumes}
    series = Series(prices, 60, [f"{market}:price" for market in markets], beside, closed=True)
    edges = [(edge.row, edge.column) for _, edge in firings(series, [rule], slots - 1)]
    assert sorted(edges) == plainly(prices, volumes, markets, rule)
    assert {row for row, _ in edges} <= set(screen(series, [rule], slots - 1).tolist())
