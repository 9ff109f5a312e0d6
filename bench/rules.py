"""Compares five rules on all metrics with one rule: values that rules share are computed once.

The rings are full, and a share of the metrics spikes. First the rules alone, as an evaluation runs them: it screens
each chunk and judges the rest. Then whole evaluations with a real store: reading, statistics, ranks, rules, recording.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.store import NOW, RING, fill
from tests.support.servers import StoreServer
from tests.support.stored import write_slot
from tracker.alerts import rules
from tracker.alerts.outbox import Outbox
from tracker.alerts.peers import Peers
from tracker.alerts.rules import All, Change, Condition, LevelRule, Ratio, Series, Silent, Spread, Threshold, Zscore
from tracker.models import FIELDS, Market
from tracker.pipeline import CHUNK, evaluate
from tracker.store.connection import connect
from tracker.store.series import Store

ONE: list[LevelRule] = [Ratio(name="jump")]
SETS: dict[str, list[LevelRule]] = {
    "5 ratios": [Ratio(name=f"jump-{factor}", factor=factor) for factor in (3, 4, 5, 6, 8)],
    "3 ratios, change, threshold": [
        Ratio(name="jump"),
        Ratio(name="leap", factor=6, match=("*:volume",)),
        Ratio(name="held", factor=3, hold=120),
        Change(name="drop", percent=50, over=300, direction="down"),
        Threshold(name="high", above=150, match=("*:price",)),
    ],
    "2 ratios, change, threshold, z-score": [
        Ratio(name="jump"),
        Ratio(name="leap", factor=6, match=("*:volume",)),
        Change(name="drop", percent=50, over=300, direction="down"),
        Threshold(name="high", above=150, match=("*:price",)),
        Zscore(name="odd", score=6),
    ],
    "2 ratios, all, silent, spread": [
        Ratio(name="jump"),
        Ratio(name="leap", factor=6, match=("*:volume",)),
        All(name="both", all=(Condition("volume", Ratio()), Condition("price", Change(percent=2, over=300)))),
        Silent(name="quiet", after=600),
        Spread(name="off", percent=8),
    ],
}
#: Exchanges of each pair.
EXCHANGES = 5


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.rules", description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--spiking", type=float, default=0.02, help="share of metrics above the limit")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved; the median counts")
    options = parser.parse_args()
    count = options.metrics // len(FIELDS)
    markets = [f"bench{number % EXCHANGES}:pair{number // EXCHANGES}" for number in range(count)]
    alone(markets, options.spiking, options.rounds)
    whole(markets, options.spiking, options.rounds)


def alone(markets: list[str], spiking: float, rounds: int) -> None:
    """Prints the time of the rules alone, without those that need other exchanges from the store."""
    chunks = [
        (part, values(len(FIELDS) * len(part), spiking, start))
        for start in range(0, len(markets), CHUNK)
        if (part := markets[start : start + CHUNK])
    ]
    show("rules alone", compare(rounds, lambda active: judge(chunks, active)))


def judge(chunks: list[tuple[list[str], np.ndarray]], active: Sequence[LevelRule]) -> None:
    for field, group in rules.by_field([rule for rule in active if not rule.NEEDS_PEERS]).items():
        whole = [rules.of_markets(markets, windows, RING.step, field) for markets, windows in chunks]
        rules.firings(Series.joined([series.take(rules.screen(series, group)) for series in whole]), group)


def values(count: int, spiking: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    found = 100 + random.standard_normal((count, RING.rows))
    found[random.random(count) < spiking, -1] = 1_000
    return found


def whole(markets: list[str], spiking: float, rounds: int) -> None:
    """Prints the time of whole evaluations."""
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as server, connect(server.url) as redis:
        store, outbox = Store(redis, RING), Outbox(redis)
        fill(store, markets)
        store.watch("bench", [Market(market, "a", "b") for market in markets])
        peers = Peers(store, ["bench"])
        both = np.tile([100.0, 50.0], (len(markets), 1))
        both[np.random.default_rng(1).random(len(markets)) < spiking] *= 10
        write_slot(store, markets, RING.slot(NOW), both)

        def work(active: Sequence[LevelRule]) -> None:
            evaluate(store, outbox, active, markets, NOW, peers=peers)

        for active in (ONE, *SETS.values()):
            work(active)  # records the alerts, once
        show("whole evaluations", compare(rounds, work))


def compare(rounds: int, work: Callable[[Sequence[LevelRule]], object]) -> dict[str, list[float]]:
    """Seconds of ``work`` with one rule and with each of SETS, interleaved."""
    figures: dict[str, list[float]] = {"1 rule": [], **{name: [] for name in SETS}}
    for _ in range(rounds):
        for name, active in (("1 rule", ONE), *SETS.items()):
            began = time.perf_counter()
            work(active)
            figures[name].append(time.perf_counter() - began)
    return figures


def show(title: str, figures: dict[str, list[float]]) -> None:
    base = float(np.median(figures["1 rule"]))
    print(title)
    for name, seconds in figures.items():
        median = float(np.median(seconds))
        print(f"  {name:40}{median * 1e3:8.1f} ms  ratio to one rule {median / base:.2f}", flush=True)


if __name__ == "__main__":
    main()
