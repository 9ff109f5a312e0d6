"""A source's budget in Redis: no window ever has more requests, from however many workers."""

import re
import threading
import time
from pathlib import Path

import pytest
from redis import Redis

from tests.support.servers import StoreServer, wait_for
from tracker.errors import MustWait
from tracker.settings import load
from tracker.sources.budget import CAREFUL, PLANS, Budget, Plan, plan
from tracker.store.connection import connect


def spent(budget: Budget, url: str = "http://x/a", tries: int = 100) -> int:
    """How many of ``tries`` requests the budget pays for."""
    paid = 0
    for _ in range(tries):
        try:
            budget.spend(url)
            paid += 1
        except MustWait as wait:
            assert 0 < wait.seconds <= budget.plan.seconds + 2
    return paid


@pytest.mark.parametrize("name", PLANS)
def test_a_documented_budget_is_spent_by_what_each_call_costs(redis: Redis, name: str) -> None:
    limit = PLANS[name]
    dearest = max(limit.costs, key=lambda path: limit.costs[path], default="any")
    budget = Budget(redis, name, limit)
    tries = int(limit.amount / limit.cost(f"http://x/{dearest}")) + 1
    started = time.monotonic()
    paid = spent(budget, f"https://x/api/{dearest}/?a=b", tries)
    used = budget.used()
    if time.monotonic() - started < limit.seconds:  # else part of the budget is free again
        assert paid == tries - 1
        assert used == pytest.approx(paid * limit.cost(f"/{dearest}"), abs=0.01)


def test_all_workers_share_it(store_server: StoreServer, redis: Redis) -> None:
    limit, paid = Plan(20, 3_600), []
    clients = [connect(store_server.url) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda client=client: paid.append(spent(Budget(client, "x", limit), tries=20)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(paid) == 20
    for client in clients:
        client.close()


def test_sources_do_not_share_one(redis: Redis) -> None:
    assert spent(Budget(redis, "x", Plan(3, 3_600))) == 3
    assert spent(Budget(redis, "y", Plan(3, 3_600))) == 3


def test_it_is_there_again_after_its_window(redis: Redis) -> None:
    budget = Budget(redis, "x", Plan(2, 1))
    assert spent(budget, tries=3) == 2
    wait_for(lambda: spent(budget, tries=1), "it can be spent again", 10)


def test_a_call_dearer_than_the_whole_budget_takes_it_whole(redis: Redis) -> None:
    budget = Budget(redis, "x", Plan(3, 3_600, {"dear": 80}))
    assert spent(budget, "http://x/dear") == 1


def test_the_users_budget_comes_first_then_what_is_documented() -> None:
    settings = load({"SOURCES": "kraken,simulator,gemini", "BUDGET": "kraken=7/3"})
    assert (plan("kraken", settings).amount, plan("kraken", settings).seconds) == (7, 3)
    assert plan("gemini", settings) == CAREFUL
    assert plan("simulator", settings) is None
    assert plan("cryptowatch", load({})).amount == 10
    assert plan("cryptowatch", load({"CRYPTOWATCH_KEY": "k"})) is None


def test_how_many_fetches_an_interval_has() -> None:
    assert PLANS["kraken"].fetches(60) == 56  # 15 in 15 s, counted as 16
    assert PLANS["binance"].fetches(60) == 2_950
    assert PLANS["cryptowatch"].fetches(60) == 1


def test_the_documents_tell_every_budget() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    for name, limit in (PLANS | {"any other": CAREFUL}).items():
        if name != "binanceus":
            row = re.search(rf"^\| `?{name}`? \| ([^|]*) \|", text, re.MULTILINE)[1].replace(",", "")
            assert re.search(rf"\b{limit.amount:g}\b", row), row
            assert ("in 24 h" if limit.seconds == 86_400 else f"in {limit.seconds} s") in row, row
