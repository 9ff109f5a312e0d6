"""Ranks and summaries in the store."""

import signal

import numpy as np
import pytest

from tests.support.servers import StoreServer
from tests.support.stored import NOW, RING, save, settled, spread
from tracker.errors import StoreError
from tracker.models import Market, Metric, Rank, Summary
from tracker.series.stats import describe
from tracker.store.connection import connect
from tracker.store.series import Store


def rank(store, name, field="volume"):
    standing = store.standing(Metric(f"x:{name}", field))
    return standing and standing[1].text


def test_the_largest_deviation_has_rank_1(store):
    save(store, "volume", bntbtc=100, goldbtc=200, cbceth=300)
    assert [rank(store, name) for name in ("bntbtc", "goldbtc", "cbceth")] == ["3/3", "2/3", "1/3"]
    assert store.ranking("volume") == ["x:cbceth:volume", "x:goldbtc:volume", "x:bntbtc:volume"]


def test_fields_are_ranked_apart(store):
    # given: some are saved together, some alone
    metrics = [Metric("x:a", "volume"), Metric("x:a", "price"), Metric("x:b", "volume"), Metric("x:b", "price")]
    settled(store, metrics, describe(np.array([spread(stddev) for stddev in (100, 2, 200, 1)]), 60), NOW)
    save(store, "price", c=3)
    # then
    assert [rank(store, name, "price") for name in "abc"] == ["2/3", "3/3", "1/3"]
    assert [rank(store, name, "volume") for name in "abc"] == ["2/2", "1/2", None]


def test_equal_deviations_have_different_ranks_in_a_fixed_order(store):
    for order in (["a", "b", "c"], ["c", "a", "b"]):
        save(store, "volume", **dict.fromkeys(order, 50), least=1, most=99)
        assert [rank(store, name) for name in ("most", "c", "b", "a", "least")] == ["1/5", "2/5", "3/5", "4/5", "5/5"]


def test_constant_markets_are_ranked_too(store):
    save(store, "volume", still=0, moving=1)
    assert rank(store, "still") == "2/2"


def test_ranks_follow_the_newest_evaluation(store):
    save(store, "volume", a=100, b=200)
    save(store, "volume", a=300)
    assert (rank(store, "a"), rank(store, "b")) == ("1/2", "2/2")


def test_a_market_whose_samples_are_gone_loses_rank_and_summary(store):
    save(store, "volume", a=100, b=200)
    save(store, "volume", b=None)
    assert rank(store, "a") == "1/1"
    assert store.standing(Metric("x:b", "volume")) is None
    assert store.summaries("volume")[0] == ["x:a:volume"]


def test_a_summary_says_what_was_computed(store):
    # given samples up to the slot before the one in progress
    values = spread(100.0)[None].copy()
    values[0, -1] = np.nan
    values[0, -2] = 1_234.5
    # when
    settled(store, [Metric("x:a", "price")], describe(values, 60), NOW)
    # then
    summary = store.standing(Metric("x:a", "price")).summary
    assert Summary(*store.summaries("price")[1][0].item()) == summary
    assert (summary.slot, summary.last) == (RING.slot(NOW) - 60, 1_234.5)
    assert summary.mean == pytest.approx(values[0, :-1].mean(), rel=1e-12)
    assert summary.stddev == pytest.approx(values[0, :-1].std(), rel=1e-12)
    assert summary.mean_1h == pytest.approx(values[0, -61:-1].mean(), rel=1e-12)
    assert summary.cv == summary.stddev / summary.mean
    assert summary.change_24h == pytest.approx(1_234.5 / values[0, 0] - 1)
    assert summary.change_1h == pytest.approx(1_234.5 / values[0, -61] - 1)
    assert summary.at == NOW


def test_the_coefficient_of_variation_has_ranks_of_its_own(store):
    # given deviations and means that rank differently
    rows = np.array([spread(100, mean=1_000), spread(200, mean=10_000), np.zeros(RING.rows)])
    metrics = [Metric(f"x:{name}", "volume") for name in ("small", "large", "silent")]
    # when
    settled(store, metrics, describe(rows, 60), NOW)
    # then: a metric with a mean of 0 has no rank by cv
    assert [store.standing(metric).rank.text for metric in metrics] == ["2/3", "1/3", "3/3"]
    assert [store.standing(metric).cv_rank for metric in metrics] == [Rank(1, 2), Rank(2, 2), None]


def test_a_summary_of_another_version_of_ours_is_none_until_the_next_evaluation(store, redis):
    save(store, "volume", a=100, b=200)
    redis.hset("{dt1}:summary:volume", "x:a:volume", bytes(40))
    assert store.standing(Metric("x:a", "volume")) is None
    assert store.summaries("volume")[0] == ["x:b:volume"]
    save(store, "volume", a=300)
    assert rank(store, "a") == "1/2"


def test_a_version_differs_once_something_of_it_was_evaluated(store):
    a, b = Metric("x:a", "volume"), Metric("x:b", "volume")
    save(store, "volume", a=1, b=1)
    all_before, a_before, both_before = store.version(), store.version([a]), store.version([a, b])
    save(store, "volume", b=2)
    assert store.version() != all_before
    assert store.version([a]) == a_before
    assert store.version([a, b]) != both_before


def test_a_view_is_what_the_parts_say(store):
    # given
    market, metrics = Market("x:a", "a", "b"), [Metric("x:a", "price"), Metric("x:a", "volume")]
    store.watch("two", [market])
    store.write("two", "x:a", RING.slots(NOW), np.column_stack([spread(1), spread(2)]), NOW, new=True)
    save(store, "volume", a=2)
    # when
    found, standings, values, final, version = store.view("x:a", metrics, ["one", "two"], NOW)
    # then
    assert found == market
    assert standings == [None, store.standing(metrics[1])]
    np.testing.assert_array_equal(values, store.windows(["x:a"], NOW).values[:, 0])
    assert final == RING.rows - 1
    assert version == store.version(metrics)
    assert store.view("x:b", [], [], NOW)[:2] == (None, [])


def begin_saves(store):
    """Begins two saves. The second one removes a part of the first."""
    for name, price in (("ab", 1), ("bc", None)):
        rows = np.array([spread(price or np.nan), spread(2), spread(3), spread(4)])
        metrics = [Metric(f"x:{market}", field) for field in ("price", "volume") for market in name]
        yield store.begin_save(metrics, describe(rows, 60), NOW)


def saved(redis):
    """The bytes of all that is stored, by key."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def test_saves_that_are_begun_and_settled_later_store_what_those_do_that_are_waited_for(store, redis):
    # given
    for begun in begin_saves(store):
        store.finish([begun])
    expected = saved(redis)
    redis.flushall()
    # when other commands are sent meanwhile
    saves = []
    for begun in begin_saves(store):
        saves.append(begun)
        assert store.ranked("volume") == len(saves) + 1
    store.finish(saves)
    # then
    assert len(expected) == 7
    assert saved(redis) == expected


def test_a_begun_save_that_fails_is_told_when_they_are_settled(store, redis):
    first = store.begin_save([Metric("x:a", "price")], describe(spread(1)[None], 60), NOW)
    redis.set("{dt1}:summary:volume", "no hash")
    last = store.begin_save([Metric("x:a", "volume")], describe(spread(1)[None], 60), NOW)
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.finish([first, last])


def test_saves_that_were_begun_when_the_server_was_killed_are_not_lost(tmp_path):
    with StoreServer(tmp_path) as server, connect(server.url, tries=4) as redis:
        # given a server that has not done any of the saves
        store = Store(redis, RING)
        assert store.ranked("price") == 0
        server.process.send_signal(signal.SIGSTOP)
        saves = list(begin_saves(store))
        # when
        server.kill()
        server.start()
        store.finish(saves)
        # then
        assert store.ranking("price") == ["x:c:price", "x:a:price"]
        assert store.ranking("volume") == ["x:c:volume", "x:b:volume", "x:a:volume"]


def test_nothing_evaluated_has_no_standing(store):
    assert store.standing(Metric("x:a", "price")) is None
    assert (store.ranking("price"), store.summaries("price")[0]) == ([], [])
    settled(store, [], describe(np.empty((0, RING.rows)), 60), NOW)
    assert store.ranking("price") == []
