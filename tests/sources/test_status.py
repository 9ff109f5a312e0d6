"""The state of a source, and `sources check`."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.exchanges import ExchangeServer, moved
from tests.support.exchanges.binance import Binance
from tests.support.exchanges.every import PAIRS
from tests.support.servers import StoreServer, free_port
from tests.support.stack import CLEAN, ROOT
from tracker import pipeline
from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.settings import Settings, load
from tracker.sources import status
from tracker.sources.breaker import FAILURES
from tracker.sources.guard import SourceGuard, guarded
from tracker.sources.status import SourceState
from tracker.store.series import Store


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    with Binance({pair: moved(file) for pair, file in PAIRS.items()}) as server:
        yield server


@pytest.fixture
def settings(store_server: StoreServer, exchange: ExchangeServer) -> Settings:
    return load({"SOURCES": "binance", "EXCHANGE_URL": exchange.url, "REDIS_URL": store_server.url})


def state(store: Store, settings: Settings) -> SourceState:
    [only] = status.states(store, settings)
    return only


def run(store: Store, settings: Settings) -> None:
    """Does what the tasks of one tick do."""
    source = guarded("binance", settings, store)
    for market in pipeline.refresh(store, "binance", source, time.time()):
        pipeline.fetch(store, "binance", source, market, Clock())
    pipeline.due(store, "binance", list(store.watched("binance")), None)


def test_nothing_asked_yet_is_starting(store: Store, settings: Settings) -> None:
    found = state(store, settings)
    assert (found.state, found.markets.tracked, found.newest_slot) == ("starting", 0, None)
    assert (found.budget.limit, found.budget.period, found.budget.used) == (6_000, 60, 0)


def test_a_source_that_answers_is_ok_and_told_in_full(store: Store, settings: Settings) -> None:
    run(store, settings)
    found = state(store, settings)
    assert (found.name, found.kind, found.state, found.reason) == ("binance", "exchange", "ok", "")
    assert (found.markets.tracked, found.markets.stale, found.markets.of_catalogue) == (2, 0, 2)
    assert time.time() - found.newest_slot < 130
    assert found.budget.used == 20 + 2 * 2 * 2  # a catalogue, and two pages for each of two markets
    assert abs(found.clock_skew) < 2
    assert (found.last_error, found.breaker.state, found.breaker.until) == (None, "closed", None)


def test_too_small_a_budget_is_degraded_and_says_how_many_wait(store: Store, settings: Settings) -> None:
    run(store, settings)
    pipeline.due(store, "binance", list(store.watched("binance")), 1)
    found = state(store, settings)
    assert found.state == "degraded"
    assert found.reason == "the budget does not pay for 1 of 2 markets each interval"
    assert found.budget.deferred == 1


def test_a_market_without_answers_is_stale_and_a_source_without_any_is_down(store: Store, settings: Settings) -> None:
    run(store, settings)
    store.redis.zadd("{dt1}:answered:binance", {"binance:ethbtc": time.time() - 181})
    found = state(store, settings)
    assert (found.state, found.reason, found.stale) == ("degraded", "1 of 2 markets are stale", ["binance:ethbtc"])
    store.redis.delete("{dt1}:answered:binance")
    assert (state(store, settings).state, state(store, settings).markets.stale) == ("down", 2)


def test_an_open_breaker_is_down(store: Store, settings: Settings, exchange: ExchangeServer) -> None:
    run(store, settings)
    exchange.refuses = (502, {}, b"<html>")
    source = guarded("binance", settings, store)
    for _ in range(FAILURES):
        with pytest.raises(SourceError):
            pipeline.refresh(store, "binance", source, time.time())
    found = state(store, settings)
    assert (found.state, found.breaker.state, found.breaker.failures) == ("down", "open", FAILURES)
    assert "502" in found.reason
    assert found.refused == {"http_502": FAILURES}
    exchange.refuses = None
    with pytest.raises(MustWait):
        source.markets()


def test_a_shut_out_country_is_blocked_and_says_why(store: Store, settings: Settings, exchange: ExchangeServer) -> None:
    exchange.refuses = exchange.other_refusals["http_451"]
    with pytest.raises(SourceError):
        run(store, settings)
    found = state(store, settings)
    assert found.state == "blocked"
    assert "restricted location" in found.reason


def test_a_pause_is_degraded(store: Store, settings: Settings, exchange: ExchangeServer) -> None:
    run(store, settings)
    exchange.refuses = exchange.too_many
    with pytest.raises(SourceError):
        run(store, settings)
    found = state(store, settings)
    assert found.state == "degraded"
    assert "asked for a pause" in found.reason
    assert SourceGuard(store.redis, "binance").look()[1] > 0


def test_the_report_is_a_few_lines(store: Store, settings: Settings) -> None:
    run(store, settings)
    text = status.report(settings)
    assert "binance (exchange): ok" in text
    assert "markets: 2 tracked of 2, 0 stale" in text


def checked(exchange: ExchangeServer, name: str = "binance", **variables: str) -> subprocess.CompletedProcess:
    environment = CLEAN | {"EXCHANGE_URL": exchange.url, "STORE_PORT": str(free_port()), **variables}
    command = [sys.executable, "-m", "tracker", "sources", "check", name]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_a_check_explains_what_it_asked_and_what_came_of_it(
    exchange: ExchangeServer, store_server: StoreServer, store: Store
) -> None:
    done = checked(exchange, REDIS_URL=store_server.url, PAIRS="eth*")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "binance (exchange), budget 6000 in 60 s, 0 used"
    assert lines[1] == "catalogue: 2 markets, 1 wanted: binance:ethbtc"
    assert lines[2].startswith("candles of binance:ethbtc: 11, the newest closes at 0.")
    assert lines[-1] == "ok"
    assert store.watched("binance") == {}


@pytest.mark.slow
def test_a_check_needs_no_store_and_stores_nothing(exchange: ExchangeServer) -> None:
    done = checked(exchange)
    assert done.returncode == 0, done.stderr
    assert "not counted: the store does not answer" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "words"),
    [("http_451", "a retry does not help"), ("http_418", "a pause of 300 s"), ("unknown_market", "unknown_market")],
)
def test_a_check_of_a_source_that_is_not_usable_fails_and_says_why(
    exchange: ExchangeServer, reason: str, words: str
) -> None:
    exchange.refuses = exchange.other_refusals[reason]
    done = checked(exchange)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["krakn", "bitflyer", "../x"])
def test_a_check_of_what_is_no_source_says_so(exchange: ExchangeServer, name: str) -> None:
    done = checked(exchange, name)
    assert done.returncode == 1
    assert "expected a name as in SOURCES" in done.stderr
