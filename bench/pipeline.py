"""CPU of the workers per market, from tick to rank, against two tasks that do nothing and one bare GET.

A tick of ``--markets`` markets runs through real workers, a real store and the simulated exchange; so do, in the same
workers and just after, as many pairs of no-op tasks, scheduled by a task and chained, both by Celery; as many pairs
that are not chained; and as many GETs of the same URLs with a plain requests session. CPU is that of all worker
processes, user and system, by the process accounting.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import requests
from redis import Redis

from tests.support.servers import StoreServer, free_port, wait_for

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.pipeline", description=__doc__)
    parser.add_argument("--markets", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=1, help="markets a task")
    parser.add_argument("--rounds", type=int, default=5, help="ticks; the median counts")
    options = parser.parse_args()
    with ExitStack() as stack:
        run(options, stack)


def run(options: argparse.Namespace, stack: ExitStack) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(StoreServer(folder))
    port = free_port()
    os.environ |= {
        "REDIS_URL": server.url, "SIMULATOR_PORT": str(port), "SIMULATOR_MARKETS": str(options.markets),
        "MARKETS_PER_TASK": str(options.batch), "LOG_LEVEL": "error", "REMAP_SIGTERM": "SIGQUIT",
    }  # fmt: skip
    start(stack, "-m", "tracker", "simulate")
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: answers(url), "the simulated exchange answers")
    workers = [
        start(stack, "-m", "celery", "-A", "bench.noop", "worker", "-l", "warning", "-Q", queues,
              "-n", f"{queues[:8]}@bench", "-c", "2", "--without-gossip", "--without-mingle")
        for queues in ("fetch", "evaluate,notify")
    ]  # fmt: skip
    redis = Redis.from_url(server.url)
    from bench.noop import schedule_nothing
    from tracker import tasks

    def tick() -> None:
        for key in redis.scan_iter("dt1:tick:*"):
            redis.delete(key)
        tasks.schedule_fetches.delay("simulator")

    count = -(-options.markets // options.batch)
    print(f"backfill of {options.markets} markets ...", flush=True)
    began = time.monotonic()
    cpu(workers, redis, tick, 1_200, lambda: redis.zcard("dt1:rank:price") == options.markets)
    print(f"... took {time.monotonic() - began:.0f} s")
    figures: dict[str, list[float]] = {"pipeline": [], "no-ops, chained": [], "no-ops, apart": [], "bare GET": []}
    for _ in range(options.rounds):
        figures["pipeline"].append(cpu(workers, redis, tick) / options.markets)
        for name, chained in (("no-ops, chained", True), ("no-ops, apart", False)):
            spent_on = cpu(workers, redis, lambda chained=chained: schedule_nothing.delay(count, chained))
            figures[name].append(spent_on / options.markets)
        figures["bare GET"].append(bare_get(url, options.markets))
    medians = {name: sorted(values)[len(values) // 2] * 1e3 for name, values in figures.items()}
    for name, median in medians.items():
        print(f"{name:20}{median:7.3f} ms CPU a market  ({', '.join(f'{value * 1e3:.3f}' for value in figures[name])})")
    for name in ("no-ops, chained", "no-ops, apart"):
        base = medians[name] + medians["bare GET"]
        print(f"ratio to two {name}, and a bare GET: {medians['pipeline'] / base:.2f}")


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


def cpu(workers: list[psutil.Process], redis: Redis, publish, seconds: float = 120, done=lambda: True) -> float:
    """CPU seconds the workers spend on what ``publish`` publishes."""
    before = spent(workers)
    started = redis.info("stats")["total_commands_processed"]
    publish()
    wait_for(lambda: redis.info("stats")["total_commands_processed"] > started, "work began")
    quiet = 0
    deadline = time.monotonic() + seconds
    while quiet < 10:  # idle for 10 looks in a row
        assert time.monotonic() < deadline, f"not done within {seconds} s"
        idle = not any(redis.llen(queue) for queue in ("fetch", "evaluate", "notify")) and not redis.hlen("unacked")
        quiet = quiet + 1 if idle and done() else 0
        time.sleep(0.05)
    return spent(workers) - before


def spent(workers: list[psutil.Process]) -> float:
    total = 0.0
    for worker in workers:
        times = worker.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
        for child in worker.children(recursive=True):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def bare_get(url: str, count: int) -> float:
    """CPU seconds of one GET of a market's last two candles."""
    session = requests.Session()
    markets = session.get(f"{url}/markets").json()["result"]
    after = int(time.time() // 60 * 60)
    before = time.process_time()
    for market in (markets * (count // len(markets) + 1))[:count]:
        session.get(f"{url}/markets/{market['exchange']}/{market['pair']}/ohlc?after={after}&periods=60")
    return (time.process_time() - before) / count


if __name__ == "__main__":
    main()
