"""Times a backtest over the API: one metric, and all metrics of a full store, a rule of each kind.

Volumes are as restless as real ones, so that a rule fires some twenty times a day and metric.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.support.servers import StoreServer
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.models import Market

#: Exchanges of each pair.
EXCHANGES = 5
#: One of each kind that can be looked back on.
RULES: list[dict[str, object]] = [
    {"kind": "ratio"},
    {"kind": "ratio", "for": "2m"},
    {"kind": "change", "percent": 2, "over": "5m"},
    {"kind": "threshold", "above": 1_000},
    {"kind": "zscore"},
    {"kind": "all", "all": [
        {"field": "volume", "kind": "ratio"}, {"field": "price", "kind": "change", "percent": 1, "over": "5m"},
    ]},
    {"kind": "spread", "percent": 2},
    {"kind": "silent", "after": "5m"},
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.backtest", description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="the median counts")
    options = parser.parse_args()
    markets = [f"bench{number % EXCHANGES}:pair{number // EXCHANGES}" for number in range(options.metrics // 2)]
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as server:
        tracked = Tracked(server.url)
        fill(tracked, markets)
        client = tracked.client
        for rule in RULES:
            for glob in ("bench0:pair1:*", "*"):
                seconds = []
                for _ in range(options.rounds):
                    began = time.perf_counter()
                    answer = client.post("/v1/rules/backtest", json={"rule": rule, "metric": glob})
                    seconds.append(time.perf_counter() - began)
                    assert answer.status_code == 200, answer.text
                found, name = answer.json, " ".join(map(str, [rule["kind"], *([rule["for"]] if "for" in rule else [])]))
                counts = f"{found['metrics']:6} metrics{found['edges']:9,} edges{found['alerts']:9,} alerts"
                print(f"{name:12}{counts}{np.median(seconds) * 1e3:9.1f} ms{len(answer.data):9,} bytes", flush=True)


def fill(tracked: Tracked, markets: list[str]) -> None:
    random = np.random.default_rng(1)
    tracked.store.watch("simulator", [Market(market, "a", "b") for market in markets])
    for market in markets:
        prices = 100 * np.exp(np.cumsum(random.standard_normal(len(SLOTS)) * 1e-3))
        both = np.column_stack([prices, random.pareto(1.5, len(SLOTS))])
        tracked.store.write("simulator", market, SLOTS, both, NOW, new=True)


if __name__ == "__main__":
    main()
