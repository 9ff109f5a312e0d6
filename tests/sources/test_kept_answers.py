"""Catalogues of several requests can be read although the budget pays for one request at a time."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests
from redis import Redis

from tests.support.exchanges import ExchangeServer, moved
from tests.support.exchanges.cryptowatch import CryptowatchServer
from tests.support.exchanges.kraken import Kraken
from tests.support.servers import StoreServer, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker import pipeline
from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.settings import Settings, load
from tracker.sources import status
from tracker.sources.budget import Budget, Plan
from tracker.sources.guard import guarded
from tracker.sources.http import session
from tracker.sources.watchlist import Wanted
from tracker.store.series import Store


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    with CryptowatchServer({("ETH", "BTC"): moved("ethbtc"), ("LTC", "BTC"): moved("ltcbtc")}) as server:
        yield server


def configured(store_server: StoreServer, exchange: ExchangeServer, budget: str) -> dict[str, str]:
    return {
        "SOURCES": "cryptowatch", "CRYPTOWATCH_URL": exchange.url, "REDIS_URL": store_server.url, "BUDGET": budget,
        "INTERVAL": "3600",
    }  # fmt: skip


@pytest.fixture
def slow(store_server: StoreServer, exchange: ExchangeServer) -> Settings:
    """Settings with a budget of one request an hour."""
    return load(configured(store_server, exchange, "0.003/3600"))


def paths(exchange: ExchangeServer) -> list[str]:
    return [path.partition("?")[0] for path in exchange.asked]


def next_hour(redis: Redis) -> None:
    """Makes the budget free again."""
    redis.delete(*redis.keys("{dt1}:budget:*"))


def test_a_catalogue_that_the_budget_interrupts_goes_on_where_it_was(
    store: Store, redis: Redis, slow: Settings, exchange: ExchangeServer
) -> None:
    wanted = Wanted(top=1)
    for asked in (["/pairs"], ["/pairs", "/markets"]):
        source = guarded("cryptowatch", slow, store)  # as in any worker
        with pytest.raises(MustWait, match="it waits for its budget"):
            pipeline.refresh(store, "cryptowatch", source, time.time(), wanted)
        assert paths(exchange) == asked
        next_hour(redis)
    assert len(pipeline.refresh(store, "cryptowatch", guarded("cryptowatch", slow, store), time.time(), wanted)) == 1
    assert paths(exchange) == ["/pairs", "/markets", "/markets/summaries"]
    assert not redis.keys("{dt1}:heard:*")
    next_hour(redis)
    with pytest.raises(MustWait):  # and the next refresh asks for all again
        pipeline.refresh(store, "cryptowatch", source, time.time(), wanted)
    assert paths(exchange)[3:] == ["/pairs"]


def test_an_exchange_of_ccxt_reads_what_it_said_before(store: Store, redis: Redis, store_server: StoreServer) -> None:
    with Kraken({("ETH", "BTC"): moved("ethbtc"), ("LTC", "BTC"): moved("ltcbtc")}) as kraken:
        settings = load({
            "SOURCES": "kraken", "EXCHANGE_URL": kraken.url, "REDIS_URL": store_server.url, "BUDGET": "1/3600",
        })  # fmt: skip
        with pytest.raises(MustWait):
            pipeline.refresh(store, "kraken", guarded("kraken", settings, store), time.time(), Wanted(top=1))
        next_hour(redis)
        assert pipeline.refresh(store, "kraken", guarded("kraken", settings, store), time.time(), Wanted(top=1))
        assert [path.rpartition("/")[2] for path in paths(kraken)] == ["AssetPairs", "Ticker"]


def test_what_was_said_is_forgotten_where_the_rest_cannot_be_used(
    store: Store, redis: Redis, slow: Settings, exchange: ExchangeServer
) -> None:
    source = guarded("cryptowatch", slow, store)
    with pytest.raises(MustWait):
        pipeline.refresh(store, "cryptowatch", source, time.time())
    next_hour(redis)
    exchange.refuses = (502, {}, b"<html>")
    with pytest.raises(SourceError):
        pipeline.refresh(store, "cryptowatch", source, time.time())
    assert not redis.keys("{dt1}:heard:*")


def test_a_backfill_of_two_pages_is_stored_page_by_page(
    store: Store, redis: Redis, store_server: StoreServer, exchange: ExchangeServer
) -> None:
    settings = load(configured(store_server, exchange, "0.015/3600"))
    source = guarded("cryptowatch", settings, store)
    [market, _] = pipeline.refresh(store, "cryptowatch", source, time.time())
    next_hour(redis)
    clock = Clock(time.time(), 0)
    with pytest.raises(MustWait, match="the budget pays for no more"):
        pipeline.fetch(store, "cryptowatch", source, market, clock)
    assert store.windows([market], clock.now()).values[0, 0, 900] > 0
    next_hour(redis)
    pipeline.fetch(store, "cryptowatch", source, market, clock)
    assert store.windows([market], clock.now()).values[0, 0, -2] > 0


def test_the_status_says_what_a_source_waits_for(store: Store, slow: Settings) -> None:
    with pytest.raises(MustWait):
        pipeline.refresh(store, "cryptowatch", guarded("cryptowatch", slow, store), time.time())
    [found] = status.states(store, slow)
    assert (found.state, found.reason) == (
        "starting", "its catalogue is not read yet: it waits for its budget of 0.003 in 3600 s"
    )  # fmt: skip


def test_requests_outside_of_a_refresh_are_made(server) -> None:
    server.says(b"[]")
    line = session({})
    for _ in range(2):
        assert isinstance(line.get(server.url), requests.Response)
    assert len(server.asked) == 2


@pytest.mark.slow
def test_workers_with_a_budget_of_one_request_a_second_fetch_every_market(
    store: Store, store_server: StoreServer, exchange: ExchangeServer
) -> None:
    exchange.costs = {}
    environment = CLEAN | configured(store_server, exchange, "") | {
        "SOURCES": "simulator", "SIMULATOR_URL": exchange.url, "BUDGET": "1/1",
    }  # fmt: skip
    command = [sys.executable, "-m", "tracker", "worker", "--concurrency", "2"]
    tick = "from tracker.tasks import schedule_fetches; schedule_fetches.delay('simulator')"
    subprocess.run([sys.executable, "-c", tick], cwd=ROOT, env=environment, check=True, timeout=60)
    with subprocess.Popen(command, cwd=ROOT, env=environment) as worker:
        try:
            wait_for(lambda: store.watched("simulator"), "the catalogue is read", 60)
            markets = list(store.watched("simulator"))
            wait_for(lambda: complete(store, markets), "every market has its day", 60)
        finally:
            worker.terminate()
            worker.wait(30)
    assert len(markets) == 2


def complete(store: Store, markets: list[str]) -> bool:
    window = store.windows(markets, time.time()).values[0]
    return bool((window[:, [5, 900, -3]] > 0).all())


@pytest.mark.parametrize("amount", [0.001, 0.5, 1.5, 2.9])
def test_a_budget_of_a_fraction_pays_and_never_for_more(redis: Redis, amount: float) -> None:
    budget, paid = Budget(redis, "x", Plan(amount, 3_600)), 0
    with pytest.raises(MustWait):
        while True:
            budget.spend("http://x/a")
            paid += 1
    assert paid == max(int(amount), 1)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["worker"], ["beat"], ["sources"], ["start"]])
def test_a_budget_that_can_never_work_is_refused_at_the_start(command: list[str], tmp_path) -> None:
    environment = CLEAN | {"SOURCES": "kraken", "BUDGET": "kraken=0.001/86400", "DATA_DIR": str(tmp_path)}
    words = [sys.executable, "-m", "tracker", *command]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "BUDGET='kraken=0.001/86400': expected 3 an hour or more" in done.stderr
    assert len(done.stderr.splitlines()) == 1
