"""Measures ``store copy``: from one server to a cluster of three and back, against plain GETs of all rings.

Prints seconds of the copy and of the comparison that follows it, with nothing else to do.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from redis import Redis

from tests.support.redis_servers import Cluster, Standalone
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.copy import Side, equalize, finish, prepare
from tracker.store.pipelines import pipeline
from tracker.store.series import Store

RING = Ring(60)
NOW = 1_700_000_040.0 + 30
TOGETHER = 128


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.copy", description=__doc__)
    parser.add_argument("--markets", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=0, help="of each server of the cluster")
    options = parser.parse_args()
    markets = [f"bench:pair{number}" for number in range(options.markets)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Standalone(Path(folder) / "one") as one,
        Cluster(Path(folder) / "cluster", replicas=options.replicas) as cluster,
    ):
        fill(Store(connect(one.url), RING), markets)
        for source, target in ((one.url, cluster.url), (cluster.url, one.url)):
            old, new = Side("FROM", connect(source)), Side("TO", connect(target))
            prepare(old, new, replace=True)
            plain = timed(lambda: read(connect(source), markets))  # noqa: B023
            copied, compared = (timed(lambda: equalize(old, new, old.keys(), lambda size: None)) for _ in range(2))  # noqa: B023
            finish(new)
            print(
                f"{source.partition(':')[0]} to {target.partition(':')[0]}: {len(markets):,} markets copied in "
                f"{copied:.2f} s, compared in {compared:.2f} s; plain GETs {plain:.2f} s; "
                f"ratios {copied / plain:.1f}, {compared / plain:.1f}",
                flush=True,
            )


def fill(store: Store, markets: list[str]) -> None:
    random = np.random.default_rng(1)
    slots = RING.slots(NOW)
    for market in markets:
        values = np.column_stack([100 + random.standard_normal(RING.rows), 50 + random.random(RING.rows)])
        store.write("bench", market, slots, values, NOW, new=True)


def read(redis: Redis, markets: list[str]) -> None:
    raw = pipeline(redis)
    for at in range(0, len(markets), TOGETHER):
        raw.ask([("GET", f"dt1:ring:{market}") for market in markets[at : at + TOGETHER]])


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
