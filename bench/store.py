"""Measures one write of a slot and one evaluation of all markets, against plain GETs of the same bytes and one np.std.

For each number of metrics, a new store has full rings. The baseline reads the same rings with redis-py's pipeline and
computes ``np.std(axis=1)`` of an array of that size. Also prints CPU of client and server, and memory in Redis and cost
per metric.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis

from tests.support.servers import StoreServer
from tests.support.stored import write_slot
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import DEFAULT_RULES
from tracker.models import FIELDS
from tracker.pipeline import CHUNK, evaluate
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import Store

RING = Ring(60)
NOW = 1_700_000_040.0 + 30


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.store", description=__doc__)
    parser.add_argument("--metrics", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved; the median counts")
    options = parser.parse_args()
    costs = {metrics: measure(metrics, options.rounds) for metrics in options.metrics}
    flat = [cost / metrics for metrics, cost in costs.items()]
    print(f"cost per metric, largest to smallest over these sizes: {max(flat) / min(flat):.2f}")


def measure(metrics: int, rounds: int) -> float:
    """Prints the figures of one size. Returns the seconds of one write and evaluation of all."""
    markets = [f"bench:pair{number}" for number in range(metrics // len(FIELDS))]
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as server, connect(server.url) as redis:
        store, outbox = Store(redis, RING), Outbox(redis)
        empty = redis.info("memory")["used_memory"]
        fill(store, markets)
        memory = (redis.info("memory")["used_memory"] - empty) / metrics
        ours, gets, deviations, worked = [], [], [], []
        array = np.random.default_rng(1).standard_normal((metrics, RING.rows))
        evaluate(store, outbox, DEFAULT_RULES, markets, NOW)
        for _ in range(rounds):
            before = cpu(redis)
            ours.append(timed(lambda: write_and_evaluate(store, outbox, markets)))
            worked.append(cpu(redis) - before)
            gets.append(timed(lambda: read(redis, markets)))
            deviations.append(timed(lambda: np.std(array, axis=1)))
        cost, base = np.median(ours), np.median(gets) + np.median(deviations)
        print(
            f"{metrics:6} metrics: write and evaluate {cost * 1e3:.0f} ms ({cost / metrics * 1e6:.1f} us a metric), "
            f"CPU of client and server {np.median(worked) * 1e3:.0f} ms, at least {min(worked) * 1e3:.0f}; "
            f"GETs {np.median(gets) * 1e3:.0f} + np.std {np.median(deviations) * 1e3:.0f} ms; ratio {cost / base:.2f}; "
            f"{memory:,.0f} bytes of Redis a metric",
            flush=True,
        )
        return float(cost)


def fill(store: Store, markets: list[str]) -> None:
    random = np.random.default_rng(1)
    slots = RING.slots(NOW)
    for market in markets:
        values = np.column_stack([100 + random.standard_normal(RING.rows), 50 + random.random(RING.rows)])
        store.write("bench", market, slots, values, NOW, new=True)


def write_and_evaluate(store: Store, outbox: Outbox, markets: list[str]) -> None:
    write_slot(store, markets, RING.slot(NOW), np.tile([100.0, 50.0], (len(markets), 1)))
    evaluate(store, outbox, DEFAULT_RULES, markets, NOW)


def read(redis: Redis, markets: list[str]) -> None:
    for start in range(0, len(markets), CHUNK):
        with redis.pipeline(transaction=False) as pipe:
            for market in markets[start : start + CHUNK]:
                pipe.get(f"dt1:ring:{market}")
            pipe.execute()


def cpu(redis: Redis) -> float:
    """Seconds of CPU that this process and the server have used."""
    server: Any = redis.info("cpu")
    return time.process_time() + float(server["used_cpu_user"]) + float(server["used_cpu_sys"])


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
