"""Measures what more workers, another broker and more servers of the store bring: markets a minute, and CPU a market.

Each case runs one tick after the other through real workers of one process each, which take from all queues. CPU is
user and system time of the workers, of the servers of the store and of the broker, each told apart. The exchange has no
latency: with one, a process waits, and the CPU a market stays what it is. The baseline of the ratios is the first case:
one worker, store and broker in one server. On a machine with as many cores as processes, the wall time counts too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.pipeline import ROOT, answers, spent, start
from tests.support.rabbitmq import RabbitMQ
from tests.support.redis_servers import Cluster, Servers, Standalone
from tests.support.servers import free_port, wait_for

BROKERS = ("store", "redis", "rabbitmq")
#: (broker, shards of the store, workers).
CASES = [*((broker, 1, workers) for broker in BROKERS for workers in (1, 2, 4)), ("redis", 3, 2)]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.scaling", description=__doc__)
    parser.add_argument("--markets", type=int, default=1_000)
    parser.add_argument("--batch", default="1", help="markets a task, or auto")
    parser.add_argument("--rounds", type=int, default=3, help="ticks of each case; the median counts")
    parser.add_argument("--case", type=json.loads, help="only this one, e.g. '[\"redis\", 1, 2]'")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(*options.case, options.markets, options.batch, options.rounds)))
        return
    print(f"{options.markets:,} markets, {options.batch} a task\n{'':34}markets   ms CPU a market")
    print(
        "broker    shards  workers         a minute   workers    store   (its busiest server)   broker   ratio of all"
    )
    first = 0.0
    for case in CASES:  # each in its own process, because Celery's app reads its settings once
        command = [sys.executable, "-m", "bench.scaling", "--case", json.dumps(case), "--markets", str(options.markets),
                   "--batch", options.batch, "--rounds", str(options.rounds)]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout.splitlines()[-1])
        every = found["workers"] + found["store"] + found["broker"]
        first = first or every
        broker, shards, workers = case
        print(f"{broker:10}{shards:6}{workers:9}{options.markets / found['wall'] * 60:17,.0f}{found['workers']:10.2f}"
              f"{found['store']:9.3f}{found['busiest']:23.3f}{found['broker']:9.3f}{every / first:15.2f}",
              flush=True)  # fmt: skip


def measure(broker: str, shards: int, count: int, markets: int, batch: str, rounds: int) -> dict[str, float]:
    """Medians of a tick: seconds of ``wall``, and ms of CPU a market of ``workers``, ``store`` and ``broker``.

    ``busiest``: of the busiest server of the store.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store: Servers = Standalone(folder) if shards == 1 else Cluster(folder, shards, replicas=0)
        stack.enter_context(store)
        url, port = "", free_port()
        brokers: list[psutil.Process] = []
        if broker == "redis":
            apart = stack.enter_context(Standalone(folder))
            url, brokers = apart.url, processes(apart)
        elif broker == "rabbitmq":
            rabbitmq = stack.enter_context(RabbitMQ(folder / "rabbitmq"))
            url, brokers = rabbitmq.url, [psutil.Process(rabbitmq.process.pid)]
        os.environ |= {
            "REDIS_URL": store.url, "BROKER_URL": url, "SIMULATOR_PORT": str(port), "SIMULATOR_MARKETS": str(markets),
            "MARKETS_PER_TASK": batch, "LOG_LEVEL": "error", "INTERVAL": "3600",
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        start(stack, "-m", "tracker", "simulate")
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "the simulated exchange answers")
        workers = [start(stack, "-m", "tracker", "worker", "-c", "1", "-n", f"worker-{at}") for at in range(count)]
        run(markets)  # fetches 24 h
        groups = {"workers": workers, "store": processes(store), "broker": brokers}
        figures = [tick(markets, groups) for _ in range(rounds)]
        return {name: median(figure[name] for figure in figures) for name in figures[0]}


def processes(servers: Servers) -> list[psutil.Process]:
    return [psutil.Process(server.process.pid) for server in servers.servers if server.process]


def tick(markets: int, groups: dict[str, list[psutil.Process]]) -> dict[str, float]:
    before = {name: spent(group) for name, group in groups.items()}
    each = [spent([server]) for server in groups["store"]]
    began = time.monotonic()
    run(markets)
    wall = time.monotonic() - began
    costs = {name: (spent(group) - before[name]) / markets * 1e3 for name, group in groups.items()}
    busiest = max(spent([server]) - was for server, was in zip(groups["store"], each, strict=True)) / markets * 1e3
    return {"wall": wall, "busiest": busiest} | costs


def run(markets: int) -> None:
    """One tick, until every market is fetched and evaluated."""
    from tracker import tasks

    store: Any = tasks.store()
    for key in store.redis.scan_iter("{dt1}:tick:*"):
        store.redis.delete(key)
    began = time.time()
    tasks.schedule_fetches.delay("simulator")
    wait_for(lambda: evaluated(store, began) >= markets, "every market is evaluated", 600)


def evaluated(store: Any, since: float) -> int:
    """How many markets were evaluated since ``since``. It asks four times a second: the question costs CPU too."""
    time.sleep(0.25)
    return int((store.summaries("price")[1]["at"] >= since).sum())


if __name__ == "__main__":
    main()
