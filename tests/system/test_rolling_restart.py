"""Every part is stopped and started again, one after the other, while data flows."""

import time
from pathlib import Path

import requests

from tests.support.exchange import Exchange
from tests.support.made_candles import AT, MadeCandles
from tests.support.parts import Parts
from tests.support.processes import LocalProcess
from tests.support.servers import answers, free_port, wait_for
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.simulator.feeds import Replay
from tracker.simulator.server import create_app
from tracker.store.connection import connect
from tracker.store.embedded import command
from tracker.store.series import Store

#: How fast time runs, and seconds of that time between two ticks.
SPEED, INTERVAL = 4, 40


def test_no_slot_and_no_alert_is_lost_and_at_most_one_tick_is_late(tmp_path: Path) -> None:
    clock = Clock(int(time.time()), SPEED)
    candles = MadeCandles(tmp_path / "candles", clock)
    ports = {name: str(free_port()) for name in ("STORE_PORT", "API_PORT", "FLOWER_PORT")}
    variables = candles.variables | ports | {"INTERVAL": str(INTERVAL), "DATA_DIR": str(tmp_path)}
    settings = load(variables)
    server = LocalProcess("store", command(settings), tmp_path, "Ready to accept connections")
    try:
        server.ready()
        with (
            connect(settings.redis_url) as redis,
            Exchange(create_app(Replay(candles.folder, candles.opened, AT), clock), delay=0.2) as exchange,
            Parts(tmp_path, SIMULATOR_URL=exchange.url, **variables) as parts,
        ):
            store = Store(redis, Ring())
            beat = parts.start("beat", prompt="beat: Starting")
            fetch = parts.start("worker", "fetch", "-c", "2", prompt="ready.")
            evaluate = parts.start("worker", "evaluate", "-c", "1", prompt="ready.")
            notify = parts.start("worker", "notify", "-c", "1", prompt="ready.")
            api = parts.start("api", prompt="Started worker-2")
            flower = parts.start("flower", prompt="Visit me at")
            wait_for(lambda: len(store.ranking("price")) == len(candles.markets), "every market is ranked", 60)
            began = clock.now()
            for part in (beat, api, flower, notify):
                part.restart()
            for part in (fetch, evaluate, server):
                wait_for(exchange.busy, "fetches are under way")
                part.restart()
            minute = candles.minutes_since_start() + 1
            wait_for(lambda: candles.minutes_since_start() > minute, "a whole minute passes")
            assert late(exchange, candles, clock, began, clock.now()) <= 1
            candles.assert_kept(store, Outbox(redis))
            assert served(f"http://127.0.0.1:{ports['API_PORT']}") == 2 * len(candles.markets)
            wait_for(lambda: answers(f"http://127.0.0.1:{ports['FLOWER_PORT']}/workers"), "Flower answers")
    finally:
        server.teardown()


def late(exchange: Exchange, candles: MadeCandles, clock: Clock, began: float, ended: float) -> int:
    """The number of ticks between ``began`` and ``ended`` whose fetches were not all asked for before the next tick."""
    asked: dict[int, set[str]] = {}
    for at, market in exchange.times:
        asked.setdefault(int(clock.at(at) // INTERVAL), set()).add(market)
    ticks = range(int(began // INTERVAL) + 1, int(ended // INTERVAL))
    assert len(ticks) >= 2
    return sum(asked.get(tick, set()) != set(candles.markets) for tick in ticks)


def served(api: str) -> int:
    return requests.get(f"{api}/v1/metrics", timeout=10).json()["total"]
