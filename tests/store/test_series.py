"""Series, watch lists, ticks and statuses in the store, and its errors while it is away."""

import threading
import time
from itertools import islice

import numpy as np
import pytest

from tests.support.servers import StoreServer, free_port
from tests.support.stored import NOW, RING, save, spread
from tracker.errors import SourceError, StoreError, TrackerError
from tracker.models import Market, Metric
from tracker.series.ring import DAY
from tracker.sources.breaker import Breaker
from tracker.sources.budget import Budget, Plan
from tracker.sources.guard import SourceGuard
from tracker.store.connection import connect
from tracker.store.series import Store


def test_a_full_ring_takes_at_most_13_5_kB_a_metric(store, redis):
    # given: a ring that is written in parts, the first one as new
    market = f"{'e' * 16}:{'p' * 16}"
    slots = RING.slots(NOW)
    values = np.random.default_rng(1).uniform(1, 2, (len(slots), 2))
    for part in range(0, len(slots), 50):
        store.write("one", market, slots[part:][:50], values[part:][:50], NOW, new=not part)
    assert not np.isnan(store.windows([market], NOW).values).any()
    # then
    [key] = redis.keys("dt1:ring:*")
    assert redis.memory_usage(key) / 2 <= 13_500


def test_a_ring_outlives_its_window_and_no_more(store, redis):
    store.write("one", "x:a", RING.slots(NOW)[-1:], np.ones((1, 2)), NOW, new=True)
    [key] = redis.keys("dt1:ring:*")
    assert DAY < redis.ttl(key) <= DAY + 3_600


def test_a_market_that_has_no_ring_reads_as_missing(store):
    assert np.isnan(store.newest("one", "x:a", NOW, 64)[1].values).all()
    assert np.isnan(store.windows(["x:a", "x:b"], NOW).values).all()
    assert store.windows([], NOW).values.shape == (2, 0, RING.rows)


def test_nothing_to_write_writes_nothing(store):
    store.write("one", "x:a", np.array([], np.int64), np.empty((0, 2)), NOW, new=True)
    store.write("one", "x:a", np.array([], np.int64), np.empty((0, 2)), NOW)
    assert np.isnan(store.windows(["x:a"], NOW).values).all()


def test_writers_of_one_new_ring_lose_nothing_of_each_other(store_server, store):
    # given: each writer has its own slots, and none knows that there is a ring
    slots = RING.slots(NOW)
    writers = 8
    barrier = threading.Barrier(writers)

    def write(writer):
        with connect(store_server.url) as redis:
            own = slots[writer::writers]
            barrier.wait()
            Store(redis, RING).write("one", "x:a", own, np.column_stack([own, own + 0.5]), NOW, new=True)

    # when
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # then
    np.testing.assert_array_equal(store.windows(["x:a"], NOW).values[:, 0], [slots, slots + 0.5])


def write_rings(store):
    """Writes rings of some of five markets, each with other samples. Returns all five markets."""
    markets = [f"x:{name}" for name in "abcde"]
    for number in (0, 1, 3):
        samples = np.column_stack([spread(1, mean=number + 2.0), spread(number)])
        store.write("one", markets[number], RING.slots(NOW), samples, NOW, new=True)
    return markets


def walked(store, walk):
    """The markets of a walk. Asserts that each window is its market's."""
    found = []
    for some, windows in walk:
        np.testing.assert_array_equal(windows.values, store.windows(some, NOW).values)
        found += some
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100])
def test_a_walk_finds_what_windows_do(store, count):
    markets = write_rings(store)
    for order in (markets, markets[::-1], ["x:a", "x:b", "x:d"], ["x:c"], []):  # some have no ring
        assert walked(store, store.walk(order, NOW, count)) == order


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_walk_that_was_left_does_not_disturb_the_next(store, steps):
    markets = write_rings(store)
    left = store.walk(markets, NOW, 2)
    assert len(walked(store, islice(left, steps))) == min(2 * steps, 5)
    assert walked(store, store.walk(markets[::-1], NOW, 1)) == markets[::-1]


def test_a_walk_goes_on_after_a_restart(tmp_path):
    with StoreServer(tmp_path) as server, connect(server.url, tries=4) as redis:
        store = Store(redis, RING)
        markets = write_rings(store)
        walk = store.walk(markets, NOW, 1)
        assert walked(store, islice(walk, 2)) == markets[:2]
        server.kill()
        server.start()
        assert walked(store, walk) == markets[2:]


def test_a_watch_list_is_replaced_as_a_whole(store):
    btc, eth, old = Market("k:btcusd", "btc", "usd"), Market("k:etheur", "eth", "eur"), Market("a:oldbtc", "old", "btc")
    store.watch("one", [eth, old])
    store.watch("one", [eth, btc])
    assert store.watched("one") == {"k:btcusd": btc, "k:etheur": eth}
    assert list(store.watched("one")) == ["k:btcusd", "k:etheur"]
    store.watch("one", [])
    assert store.watched("one") == {}


def test_a_fetch_finds_its_market_on_the_list_of_its_source_and_the_newest_slots(store):
    # given
    btc = Market("k:btcusd", "btc", "usd", "BTC/USD")
    store.watch("one", [btc])
    store.write("one", btc.id, RING.slots(NOW), np.column_stack([spread(1), spread(2)]), NOW, new=True)
    # when
    found, newest, _ = store.newest("one", btc.id, NOW, 64)
    # then
    assert found == btc
    np.testing.assert_array_equal(newest.values, store.windows([btc.id], NOW).values[:, :, -64:])
    assert store.newest("two", btc.id, NOW, 64)[0] is None
    assert store.newest("one", "k:other", NOW, 64)[0] is None


def test_the_first_task_to_claim_a_tick_has_it(store):
    assert store.claim("one", 600, "task-a", life=60)
    assert not store.claim("one", 600, "task-b", life=60)


def test_a_redelivered_task_recognises_its_own_claim(store):
    assert store.claim("one", 600, "task-a", life=60)
    assert store.claim("one", 600, "task-a", life=60)
    assert not store.claim("one", 600, "task-b", life=60)


def test_other_ticks_and_sources_are_free(store):
    assert store.claim("one", 600, "task-a", life=60)
    assert store.claim("one", 660, "task-b", life=60)
    assert store.claim("two", 600, "task-c", life=60)


def test_a_claim_ends_after_its_life(store, redis):
    store.claim("one", 600, "task-a", life=0.5)
    [key] = redis.keys("*")
    assert 0 < redis.pttl(key) <= 500


def test_one_of_many_claimants_at_once_wins(store_server, redis):
    barrier, won = threading.Barrier(10), []

    def claim(task):
        with connect(store_server.url) as own:
            barrier.wait()
            if Store(own, RING).claim("one", 600, task, life=60):
                won.append(task)

    threads = [threading.Thread(target=claim, args=(f"task-{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1


def test_a_status_counts_refusals_and_keeps_the_last_error(store):
    slots, values = RING.slots(NOW)[-1:], np.ones((1, 2))
    store.write("one", "x:a", slots, values, NOW, refused={"negative": 2, "future": 1})
    store.failed("one", NOW + 1, "http_500", "x" * 1_000)
    store.write("one", "x:a", slots, values, NOW + 2, refused={"negative": 1})
    assert store.status("one") == {
        "last_success": f"{NOW + 2:.3f}",
        "newest_slot": str(slots[-1]),
        "last_error": "x" * 500,
        "last_error_at": f"{NOW + 1:.3f}",
        "refused:negative": "3",
        "refused:future": "1",
        "refused:http_500": "1",
    }
    assert store.status("two") == {}


BUSY = SourceError("http_429", "", wait=1)
EVERY_CALL = {
    "newest": lambda store: store.newest("one", "x:a", NOW, 2),
    "walk": lambda store: list(store.walk(["x:a", "x:b"], NOW, 1)),
    "windows": lambda store: store.windows(["x:a"], NOW),
    "write": lambda store: store.write("one", "x:a", RING.slots(NOW), np.ones((RING.rows, 2)), NOW),
    "save": lambda store: save(store, "price", a=1),
    "summaries": lambda store: store.summaries("price"),
    "version": lambda store: store.version(),
    "view": lambda store: store.view("x:a", [Metric("x:a", "price")], ["one"], NOW),
    "ranked": lambda store: store.ranked("price"),
    "answered": lambda store: store.answered(["x:a"]),
    "ranking": lambda store: store.ranking("price"),
    "standing": lambda store: store.standing(Metric("x:a", "price")),
    "watch": lambda store: store.watch("one", [Market("x:a", "a", "b")]),
    "watched": lambda store: store.watched("one"),
    "claim": lambda store: store.claim("one", 600, "task", 60),
    "failed": lambda store: store.failed("one", NOW, "negative", "why"),
    "status": lambda store: store.status("one"),
    "write_prices": lambda store: store.write_prices("one", {"x:a": 1.0}, RING.slot(NOW), NOW),
    "inherit": lambda store: store.inherit("x:a", "x:b", NOW),
    "note": lambda store: store.note("one", deferred=1),
    "unnote": lambda store: store.unnote("one", "deferred"),
    "longest_ago": lambda store: store.longest_ago("one", ["x:a"]),
    "unanswered": lambda store: store.unanswered("one", ["x:a"], NOW),
    "a guard's look": lambda store: SourceGuard(store.redis, "one").look(),
    "a guard's failure": lambda store: SourceGuard(store.redis, "one").failed(BUSY, NOW, Breaker()),
    "a budget's spending": lambda store: Budget(store.redis, "one", Plan(1, 1)).spend("http://x/"),
    "a budget's use": lambda store: Budget(store.redis, "one", Plan(1, 1)).used(),
}


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
def test_a_server_that_is_away_is_a_store_error_with_its_cause(call):
    store = Store(connect(f"redis://127.0.0.1:{free_port()}/0", tries=1), RING)
    with pytest.raises(StoreError, match="the store does not answer as it should") as failure:
        call(store)
    assert isinstance(failure.value, TrackerError)
    assert failure.value.__cause__ is not None


def test_a_key_of_another_type_is_a_store_error(store, redis):
    redis.set("{dt1}:rank:price", "no sorted set")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.ranking("price")


def test_a_server_that_restarts_is_waited_for(tmp_path):
    # given a client that is connected to a server
    with StoreServer(tmp_path) as server, connect(server.url) as redis:
        store = Store(redis, RING)
        store.write("one", "x:a", RING.slots(NOW), np.ones((RING.rows, 2)), NOW, new=True)
        # when the server is killed and comes back during a call
        server.kill()
        back = threading.Timer(0.5, server.start)
        back.start()
        started = time.monotonic()
        store.watch("one", [Market("x:a", "a", "b")])
        back.join()
        # then
        assert time.monotonic() - started < 10
        assert list(store.watched("one")) == ["x:a"]
