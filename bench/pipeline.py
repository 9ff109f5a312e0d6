"""Measures the CPU of the workers per market, from tick to rank.

Ticks run through real workers, a real store and the simulated exchange. CPU is user and system time of all worker
processes. The wall time of a tick is from its publication until nothing is left to do.

First with one market a task. The baseline is Celery's own cost in the same workers, and as many GETs of the same URLs
with a plain requests session. Celery's cost is as many pairs of no-op tasks: a task schedules the first one, the second
is chained to it. Then MARKETS_PER_TASK=auto at several sizes. On a machine with other load, only the CPU counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import requests
from redis import Redis

from tests.support.servers import StoreServer, free_port, wait_for

ROOT = Path(__file__).parent.parent
QUEUES = ("fetch", "evaluate", "notify")
#: (markets, markets a task).
CASES = [(2_000, "1"), (60, "auto"), (500, "auto"), (2_000, "auto"), (10_000, "auto")]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.pipeline", description=__doc__)
    parser.add_argument("--markets", type=int, help="measure only this many")
    parser.add_argument("--batch", default="auto", help="markets a task, with --markets; 1 is compared with Celery")
    parser.add_argument("--rounds", type=int, default=5, help="ticks of each; the median counts")
    options = parser.parse_args()
    if options.markets:
        measure(options.markets, options.batch, options.rounds)
        return
    for markets, batch in CASES:  # each in its own process, because Celery's app reads its settings once
        case = ("--markets", str(markets), "--batch", batch, "--rounds", str(options.rounds))
        subprocess.run([sys.executable, "-m", "bench.pipeline", *case], cwd=ROOT, check=True)


def measure(markets: int, batch: str, rounds: int) -> None:
    with running(markets, batch) as bench:
        bench.backfill()
        if batch == "1":
            compare(bench, rounds)
        else:
            bench.report(f"pipeline, {batch}", [bench.tick() for _ in range(rounds)])


@dataclass
class Spent:
    """Seconds of CPU and of wall time."""

    cpu: float
    wall: float


@dataclass
class Bench:
    """A running stack that watches ``markets``."""

    markets: int
    url: str
    redis: Redis
    workers: list[psutil.Process]

    def tick(self) -> Spent:
        """One tick, until all markets are evaluated."""
        from tracker import tasks

        for key in self.redis.scan_iter("{dt1}:tick:*"):
            self.redis.delete(key)
        return self.measure(lambda: tasks.schedule_fetches.delay("simulator"))

    def backfill(self) -> None:
        """Ticks until every market is ranked: the fetches of a tick expire after an interval."""
        began = time.monotonic()
        while self.redis.zcard("{dt1}:rank:price") < self.markets:
            self.tick()
            assert time.monotonic() < began + 1_200, "not all markets were backfilled"
        print(f"backfill of {self.markets:,} markets took {time.monotonic() - began:.0f} s", flush=True)

    def measure(self, publish: Callable[[], object], seconds: float = 300) -> Spent:
        """What the workers spend on the tasks that ``publish`` publishes."""
        before, began = spent(self.workers), time.monotonic()
        started = self.commands()
        publish()
        wait_for(lambda: self.commands() > started, "work began")
        quiet = 0
        ended = began
        while quiet < 10:  # 10 idle checks in a row
            assert time.monotonic() < began + seconds, f"not done within {seconds} s"
            ended = ended if quiet else time.monotonic()
            quiet = quiet + 1 if self.idle() else 0
            time.sleep(0.05)
        return Spent(spent(self.workers) - before, ended - began)

    def commands(self) -> int:
        return self.redis.info("stats")["total_commands_processed"]

    def idle(self) -> bool:
        return not any(self.redis.llen(queue) for queue in QUEUES) and not self.redis.hlen("unacked")

    def report(self, name: str, figures: list[Spent]) -> float:
        """Prints the figures. Returns the median of CPU a market, in milliseconds."""
        each = [figure.cpu / self.markets * 1e3 for figure in figures]
        wall = median(figure.wall for figure in figures)
        shown = ", ".join(f"{value:.3f}" for value in each)
        print(
            f"{name:18}{self.markets:7,} markets {median(each):7.3f} ms CPU a market, {wall:6.2f} s a tick  ({shown})",
            flush=True,
        )
        return median(each)


@contextmanager
def running(markets: int, batch: str) -> Iterator[Bench]:
    """A stack whose ticks make tasks of ``batch`` markets."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(StoreServer(folder))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        os.environ |= {
            "REDIS_URL": server.url, "SIMULATOR_PORT": str(port), "SIMULATOR_MARKETS": str(markets),
            "MARKETS_PER_TASK": batch, "LOG_LEVEL": "error", "REMAP_SIGTERM": "SIGQUIT",
        }  # fmt: skip
        start(stack, "-m", "tracker", "simulate")
        wait_for(lambda: answers(url), "the simulated exchange answers")
        workers = [
            start(stack, "-m", "celery", "-q", "-A", "bench.noop", "worker", "-l", "error", "-Q", queues,
                  "-n", f"{queues[:8]}@bench", "-c", "2", "--without-gossip", "--without-mingle")
            for queues in ("fetch", "evaluate,notify")
        ]  # fmt: skip
        with Redis.from_url(server.url) as redis:
            yield Bench(markets, url, redis, workers)


def compare(bench: Bench, rounds: int) -> None:
    """Compares a tick with Celery's own cost and a bare GET, in turns."""
    from bench.noop import schedule_nothing

    ticks, pairs, gets = [], [], []
    for _ in range(rounds):
        ticks.append(bench.tick())
        pairs.append(bench.measure(lambda: schedule_nothing.delay(bench.markets)))
        gets.append(bare_gets(bench.url, bench.markets))
    pipeline = bench.report("pipeline, 1 a task", ticks)
    base = bench.report("no-ops, chained", pairs) + bench.report("bare GET", gets)
    print(f"ratio to two chained no-ops and a bare GET: {pipeline / base:.2f} (aim: at most 1.8)", flush=True)


def start(stack: ExitStack, *command: str) -> psutil.Process:
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return psutil.Process(process.pid)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def spent(workers: list[psutil.Process]) -> float:
    """CPU seconds of ``workers`` and their children so far."""
    total = 0.0
    for worker in workers:
        times = worker.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
        for child in worker.children(recursive=True):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def bare_gets(url: str, count: int) -> Spent:
    """The cost of ``count`` GETs of markets' last two candles."""
    session = requests.Session()
    markets = session.get(f"{url}/markets").json()["result"]
    after = int(time.time() // 60 * 60)
    before, began = time.process_time(), time.monotonic()
    for market in (markets * (count // len(markets) + 1))[:count]:
        session.get(f"{url}/markets/{market['exchange']}/{market['pair']}/ohlc?after={after}&periods=60")
    return Spent(time.process_time() - before, time.monotonic() - began)


if __name__ == "__main__":
    main()
