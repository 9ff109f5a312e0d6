"""All workers share one budget: four processes send all they can to an exchange that counts."""

import subprocess
import sys
from collections.abc import Iterator
from math import floor

import pytest

from tests.support.exchanges import moved
from tests.support.exchanges.kraken import Kraken
from tests.support.servers import StoreServer, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.models import Market
from tracker.store.series import Store

AMOUNT, SECONDS = 30, 10
#: The window in which the exchange counts. It is 2 s shorter, because a busy process may send a paid request late.
COUNTED = SECONDS - 2
TICK = "import sys; from tracker.tasks import schedule_fetches; schedule_fetches.apply(args=('kraken',), throw=True)"


@pytest.fixture
def exchange() -> Iterator[Kraken]:
    trades = moved("ethbtc")
    with Kraken({(f"C{number}", "BTC"): trades for number in range(200)}) as exchange:
        exchange.limit = AMOUNT, COUNTED
        yield exchange


@pytest.fixture
def environment(store_server: StoreServer, exchange: Kraken) -> dict[str, str]:
    return CLEAN | {
        "REDIS_URL": store_server.url, "SOURCES": "kraken", "EXCHANGE_URL": f"kraken={exchange.url}",
        "BUDGET": f"kraken={AMOUNT}/{SECONDS}", "INTERVAL": "3600",
    }  # fmt: skip


@pytest.fixture
def worker(environment: dict[str, str], exchange: Kraken, store: Store) -> Iterator[subprocess.Popen]:
    pairs = [(base.lower(), exchange.called((base, quote))) for base, quote in exchange.trades]
    store.watch("kraken", [Market(f"kraken:{base}btc", base, "btc", name) for base, name in pairs])
    command = [sys.executable, "-m", "tracker", "worker", "fetch", "--concurrency", "4"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        yield process
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def test_four_processes_use_the_budget_and_never_more(
    worker: subprocess.Popen, environment: dict[str, str], exchange: Kraken, store: Store
) -> None:
    subprocess.run([sys.executable, "-c", TICK], cwd=ROOT, env=environment, check=True, timeout=60)
    wait_for(lambda: len(exchange.arrivals) >= 3 * AMOUNT, "three windows are used", 60)
    times = [at for at, _ in list(exchange.arrivals)[: 3 * AMOUNT]]
    for last in times:
        assert sum(last - COUNTED < at <= last for at in times) <= AMOUNT
    possible = AMOUNT * (floor((times[-1] - times[0]) / SECONDS) + 1)
    assert len(times) >= 0.7 * possible
    assert worker.poll() is None
    markets = [f"kraken:c{number}btc" for number in range(200)]
    wait_for(lambda: store.answered(markets) >= AMOUNT, "what was answered is stored")  # at most two requests a market
    assert "refused:rate_limited" not in store.status("kraken")
