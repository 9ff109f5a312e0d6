"""Measures ``store copy``: from one server to a cluster of three and back, against plain GETs of all rings.

Prints seconds of the copy and of the comparison that follows it, with nothing else to do.
"""

import argparse
import tempfile
from pathlib import Path

from redis import Redis

from bench.store import RING, fill, timed
from tests.support.redis_servers import Cluster, Standalone
from tracker.store.connection import connect
from tracker.store.copy import Side, equalize, finish, prepare
from tracker.store.pipelines import pipeline
from tracker.store.series import Store

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


def read(redis: Redis, markets: list[str]) -> None:
    raw = pipeline(redis)
    for at in range(0, len(markets), TOGETHER):
        raw.ask([("GET", f"dt1:ring:{market}") for market in markets[at : at + TOGETHER]])


if __name__ == "__main__":
    main()
