"""The store, workers and a beat are killed while fetches run. The supervisor restarts them, and no data is lost."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchange import Exchange
from tests.support.servers import wait_for
from tests.support.spiking import Spiking
from tests.support.stack import Stack
from tests.support.truth import assert_complete
from tracker.clock import Clock
from tracker.series.ring import DAY
from tracker.simulator.server import create_app

INTERVAL = 2


@pytest.fixture
def feed() -> Spiking:
    """A new feed for each test: after a spike of an earlier test, the cooldown would hold back alerts of this one."""
    return Spiking(seed=3, markets=8, exchanges=2)


@pytest.fixture
def exchange(feed: Spiking) -> Iterator[Exchange]:
    with Exchange(create_app(feed, Clock())) as exchange:
        yield exchange


@pytest.fixture(params=["prefork", "threads"])
def stack(request: pytest.FixtureRequest, exchange: Exchange, tmp_path: Path) -> Iterator[Stack]:
    variables = {"SIMULATOR_URL": exchange.url, "INTERVAL": str(INTERVAL), "WORKER_POOL": request.param}
    with Stack(tmp_path, **variables) as stack:
        yield stack.ready()


def assert_recovers(stack: Stack, exchange: Exchange, feed: Spiking) -> None:
    """Fetches are consumed again; all samples are stored, and no alert is there twice."""
    before = exchange.asked.total()
    wait_for(lambda: exchange.asked.total() > before, "fetches are consumed again", 60)
    exchange.delay = 0
    wait_for(lambda: not exchange.busy(), "slow answers are through")
    assert_complete(stack.store, feed)
    alerts = Counter(alert.id for alert in stack.outbox.newest(1_000))
    assert not [id for id, count in alerts.items() if count > 1]
    assert len(stack.store.ranking("volume")) == len(feed.markets)


def test_everything_is_killed_in_turn_while_fetches_run(stack: Stack, exchange: Exchange, feed: Spiking) -> None:
    alerted = {alert.metric for alert in stack.outbox.newest(1_000)}
    feed.spike = int(time.time() // 60 * 60)
    for victim in ("valkey-server", "worker fetch", "valkey-server", "worker evaluate"):
        exchange.delay = 1
        wait_for(exchange.busy, "a fetch is under way")
        stack.find(*part(victim)).send_signal(signal.SIGKILL)
        wait_for(lambda victim=victim: running(stack, victim), f"{victim} runs again", 60)
        wait_for(lambda: stack.redis_answers(), "the store answers", 60)
        assert_recovers(stack, exchange, feed)
    due = busy(feed) - alerted
    assert due
    # A market spikes at its first trade of the minute, which may be late in it.
    wait_for(lambda: spikes(stack, feed) >= due, f"every market has its alert: {due - spikes(stack, feed)}", 90)
    log = stack.folder / "log" / "notify.log"
    wait_for(lambda: all(f":{metric}:{feed.spike}]" in log.read_text(errors="replace") for metric in due), "it is told")


def spikes(stack: Stack, feed: Spiking) -> set[str]:
    return {alert.metric for alert in stack.outbox.newest(1_000) if alert.slot == feed.spike}


def test_a_second_beat_adds_no_fetch_and_takes_over(stack: Stack, exchange: Exchange, feed: Spiking) -> None:
    second = stack.run("beat")
    try:
        market = next(iter(exchange.asked))
        started, fetches, taken = time.time(), exchange.asked[market], ticks_taken(stack)
        wait_for(lambda: ticks_taken(stack) >= taken + 6, "six ticks of one beat find theirs taken by the other's", 90)
        fetches = exchange.asked[market] - fetches
        # One fetch a tick, although two beats send ticks. Some ticks were queued before.
        assert fetches <= (time.time() - started) / INTERVAL + 4

        stack.find(*part("beat")).send_signal(signal.SIGSTOP)  # it hangs, and its supervisor does not notice
        assert_recovers(stack, exchange, feed)
    finally:
        stack.find(*part("beat")).send_signal(signal.SIGCONT)
        second.terminate()
        second.wait(30)


def test_a_hung_store_is_waited_for(stack: Stack, exchange: Exchange, feed: Spiking) -> None:
    store = stack.find("valkey-server")
    exchange.delay = 1
    wait_for(exchange.busy, "a fetch is under way")
    store.send_signal(signal.SIGSTOP)
    before = exchange.asked.total()
    wait_for(lambda: not exchange.busy(), "the exchange has answered what was asked")
    os.kill(store.pid, signal.SIGCONT)
    wait_for(lambda: exchange.asked.total() > before, "fetches are consumed again", 60)
    assert_recovers(stack, exchange, feed)


def ticks_taken(stack: Stack) -> int:
    return (stack.folder / "log" / "fetch.log").read_text(errors="replace").count("is taken")


def busy(feed: Spiking) -> set[str]:
    """Metrics of markets that trade every minute: these surely spike."""
    every = [each for each in feed.markets if len(feed.candles(*each[:2], 0, DAY)) == DAY // 60 + 1]
    return {f"{each.exchange}:{each.pair}:volume" for each in every}


def part(name: str) -> list[str]:
    """Words in the command line of a part's main process, after it has become Celery or the store."""
    return {
        "valkey-server": ["valkey-server"],
        "worker fetch": ["celery", "worker", "fetch"],
        "worker evaluate": ["celery", "worker", "evaluate"],
        "beat": ["celery", "beat"],
    }[name]


def running(stack: Stack, name: str) -> bool:
    try:
        return stack.find(*part(name)).is_running()
    except AssertionError:
        return False
