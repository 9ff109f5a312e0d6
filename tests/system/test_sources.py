"""The whole stack on several exchanges at once, each with its own settings; one of them fails."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.exchanges import ExchangeServer, moved
from tests.support.exchanges.binance import Binance
from tests.support.exchanges.kraken import Kraken
from tests.support.exchanges.okx import Okx
from tests.support.servers import wait_for
from tests.support.stack import Stack

PAIRS = {("ETH", "BTC"): "ethbtc", ("LTC", "BTC"): "ltcbtc", ("POWR", "BTC"): "powrbtc"}


@pytest.fixture
def exchanges() -> Iterator[dict[str, ExchangeServer]]:
    trades = {pair: moved(file) for pair, file in PAIRS.items()}
    with ExitStack() as stack:
        yield {kind.name: stack.enter_context(kind(trades)) for kind in (Kraken, Binance, Okx)}


@pytest.fixture
def stack(exchanges: dict[str, ExchangeServer], tmp_path: Path) -> Iterator[Stack]:
    urls = ";".join(f"{name}={server.url}" for name, server in exchanges.items())
    with Stack(
        tmp_path, SOURCES=",".join(exchanges), EXCHANGE_URL=urls, INTERVAL="2; okx=3", FEED="okx=tickers",
        PAIRS="*; binance=eth*, ltc*", TOP="okx=2", BUDGET="kraken=30/2",
    ) as stack:  # fmt: skip
        yield stack.ready()


def states(stack: Stack) -> dict[str, dict]:
    return {source["name"]: source for source in stack.get("/v1/sources")["sources"]}


def all_ok(stack: Stack) -> bool:
    return all(source["state"] == "ok" for source in states(stack).values())


def test_sources_of_every_kind_run_side_by_side_and_one_that_fails_hurts_none(
    stack: Stack, exchanges: dict[str, ExchangeServer]
) -> None:
    wait_for(lambda: all_ok(stack), f"all are ok: {states(stack)}")
    found = states(stack)
    assert {name: source["markets"]["tracked"] for name, source in found.items()} == {
        "kraken": 3,
        "binance": 2,
        "okx": 2,
    }
    assert {name: source["interval"] for name, source in found.items()} == {"kraken": 2, "binance": 2, "okx": 3}
    metrics = {row["id"]: row for row in stack.get("/v1/metrics?limit=1000")["metrics"]}
    assert {id for id in metrics if id.startswith("okx:")} >= {"okx:ethbtc:price", "okx:ethbtc:volume"}
    assert metrics["kraken:ethbtc:volume"]["rank"]
    assert metrics["binance:ltcbtc:price"]["unit"] == "btc"
    assert "binance:powrbtc:price" not in metrics
    prices, volumes = (stack.get(f"/v1/metrics/okx:ethbtc:{field}")["values"] for field in ("price", "volume"))
    assert any(value is not None for value in prices)
    assert all(value is None for value in volumes)

    exchanges["kraken"].refuses = (502, {}, b"<html>Bad gateway</html>")
    wait_for(lambda: states(stack)["kraken"]["breaker"]["state"] in ("open", "probing"), "kraken's breaker opens", 60)
    broken = states(stack)["kraken"]
    assert broken["state"] == "down" and "502" in broken["reason"]
    asked = len(exchanges["binance"].arrivals)
    wait_for(lambda: len(exchanges["binance"].arrivals) > asked + 4, "binance is asked as before")
    wait_for(lambda: states(stack)["binance"]["state"] == "ok", "binance is ok as before")

    exchanges["kraken"].refuses = None
    before = time.time()
    wait_for(lambda: (states(stack)["kraken"]["last_success"] or 0) > before, "kraken is probed and back", 150)
    wait_for(lambda: all_ok(stack), "all are ok again")
