"""Measures the cost of a fetch through ccxt, the share of a budget that gets used, and the markets a worker can track.

A server with OKX's format runs in its own process. The baselines: for the CPU of a fetch, a bare ``requests`` GET of
the same answer and ``json.loads``; for requests within a budget, the budget; for the markets a minute of 1, 2 and 4
worker processes, the number that ``--latency`` alone would allow.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import psutil
import requests

from tests.support.servers import StoreServer, free_port, wait_for
from tracker.clock import Clock
from tracker.errors import MustWait
from tracker.models import Market
from tracker.series.ring import Ring
from tracker.sources.budget import Budget, Plan
from tracker.sources.exchange import Exchange
from tracker.store.connection import connect
from tracker.store.series import Store

ROOT = Path(__file__).parent.parent
MARKET = Market("okx:ethbtc", "eth", "btc", "ETH-BTC")
TICK = "from tracker.tasks import schedule_fetches; schedule_fetches.apply(args=('okx',), throw=True)"


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.source", description=__doc__)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the server takes to answer a worker")
    parser.add_argument("--fetches", type=int, default=300, help="fetches in each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved with the baseline; the median counts")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.latency)
    with server(0) as url:
        memory()
        for rows in (2, 300):
            fetches(url, rows, options.fetches, options.rounds)
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as redis:
        budget(redis.url)
    with server(options.latency) as url:
        for processes in (1, 2, 4):
            workers(url, processes, options.latency, options.fetches)


def serve(port: int, latency: float) -> None:
    """Serves OKX's candles from ``before`` to now, with a trade in every minute."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            time.sleep(latency)
            query = dict(parse_qsl(urlsplit(self.path).query))
            first = (int(query.get("before", 0)) // 60_000 + 1) * 60_000
            last = min(int(query.get("after", 10**14)) - 1, int(time.time() * 1_000))
            slots = range(first, last + 1, 60_000)[-300:] if "before" in query else []
            rows = [[str(at), "0.07", "0.071", "0.069", "0.0705", "12.5", "0.9", "0.9", "1"] for at in reversed(slots)]
            body = json.dumps({"code": "0", "msg": "", "data": rows}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


@contextmanager
def server(latency: float) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "bench.source", "--serve", str(port), "--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url), "the server answers")
        yield url
        process.terminate()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def memory() -> None:
    """Prints the memory and CPU that one exchange, and all of ccxt, add to a worker that has loaded Celery."""
    for title, code in (
        ("one exchange", "from tracker.clock import Clock; from tracker.sources.exchange import Exchange;"
                         "Exchange('okx', '', 60, Clock())"),
        ("import ccxt", "import ccxt; ccxt.okx()"),
    ):  # fmt: skip
        script = (
            "import time, psutil, celery, requests, numpy, tracker.store.series, tracker.sources.http;"
            "before, cpu = psutil.Process().memory_info().rss, time.process_time();"
            f"{code};"
            "print((psutil.Process().memory_info().rss - before) / 1e6, time.process_time() - cpu)"
        )
        runs = [subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
                for _ in range(3)]  # fmt: skip
        megabytes, seconds = sorted(tuple(map(float, run.stdout.split())) for run in runs)[1]
        print(f"{title}: {megabytes:.1f} MB and {seconds * 1e3:.0f} ms of CPU a process")


def fetches(url: str, rows: int, count: int, rounds: int) -> None:
    """Prints the CPU of a fetch of ``rows`` candles, and of the baseline."""
    source, bare = Exchange("okx", url, 60, Clock()), requests.Session()
    ours, base = [], []
    for _ in range(rounds):
        since = int(time.time() // 60 - rows + 1) * 60
        bounds = {
            "instId": "ETH-BTC",
            "bar": "1m",
            "limit": 300,
            "before": since * 1_000 - 1,
            "after": (since + 18_000) * 1_000,
        }
        ours.append(cpu(lambda since=since: source.candles(MARKET, since), count))
        base.append(
            cpu(
                lambda bounds=bounds: json.loads(bare.get(f"{url}/api/v5/market/candles", params=bounds).content), count
            )
        )
    cost, least = sorted(ours)[rounds // 2], sorted(base)[rounds // 2]
    print(
        f"a fetch of {rows} candles: {cost * 1e3:.2f} ms CPU, bare GET and json.loads {least * 1e3:.2f} ms: "
        f"ratio {cost / least:.2f}",
        flush=True,
    )


def cpu(call: Callable[[], object], count: int) -> float:
    """CPU seconds of one ``call``, the mean of ``count``."""
    call()
    before = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - before) / count


def budget(url: str, plan: Plan = Plan(200, 10), seconds: float = 25) -> None:  # noqa: B008
    """Prints how much of ``plan`` one busy caller gets to use in ``seconds``, and the CPU of a request."""
    with connect(url) as redis:
        purse = Budget(redis, "bench", plan)
        spent, started, busy = 0, time.monotonic(), time.process_time()
        while time.monotonic() - started < seconds:
            try:
                purse.spend("http://x/")
                spent += 1
            except MustWait as wait:
                time.sleep(wait.seconds)
        busy = time.process_time() - busy
    allowed = plan.amount * (seconds // plan.seconds + 1)
    print(
        f"a budget of {plan.amount:g} in {plan.seconds} s: {spent} requests in {seconds:g} s, {spent / allowed:.0%} of "
        f"what it allows; {busy / spent * 1e6:.0f} us CPU a request",
        flush=True,
    )


def workers(url: str, processes: int, latency: float, count: int) -> None:
    """Prints how many markets a minute a real worker with ``processes`` processes fetches."""
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as redis:
        store = Store(connect(redis.url), Ring())
        names = [f"c{number}" for number in range(count * min(processes, 2))]
        store.watch("okx", [Market(f"okx:{name}btc", name, "btc", f"{name}-BTC".upper()) for name in names])
        slots = store.ring.slots(time.time())[-3:-1]  # the newest slots, so that a fetch is no backfill
        for market in store.watched("okx"):
            store.write("okx", market, slots, np.ones((2, 2)), time.time(), new=True)
        environment = os.environ | {
            "REDIS_URL": redis.url, "SOURCES": "okx", "EXCHANGE_URL": url, "BUDGET": "1000000/1", "INTERVAL": "3600",
            "LOG_LEVEL": "error", "MARKETS_PER_TASK": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "tracker", "worker", "fetch", "--concurrency", str(processes)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as worker:
            try:
                tick(store, environment)  # warms up
                seconds, busy = tick(store, environment, psutil.Process(worker.pid))
            finally:
                worker.terminate()
        rate = len(names) / seconds * 60
        print(
            f"{processes} worker processes, latency {latency * 1e3:.0f} ms: {rate:.0f} markets a minute, "
            f"{rate / processes / (60 / latency):.0%} of what the latency allows, "
            f"{busy / len(names) * 1e3:.1f} ms CPU a market",
            flush=True,
        )


def tick(store: Store, environment: dict[str, str], worker: psutil.Process | None = None) -> tuple[float, float]:
    """Fetches every watched market once: (seconds, CPU seconds of the worker)."""
    for key in store.redis.scan_iter("{dt1}:tick:*"):
        store.redis.delete(key)
    markets, asked = list(store.watched("okx")), time.time()
    subprocess.run([sys.executable, "-c", TICK], cwd=ROOT, env=environment, check=True)
    before, began = spent(worker), time.monotonic()
    wait_for(lambda: not store.unanswered("okx", markets, asked), "all markets are fetched", 600)
    return time.monotonic() - began, spent(worker) - before


def spent(worker: psutil.Process | None) -> float:
    """CPU seconds of a worker and its children so far."""
    processes = [worker, *worker.children(recursive=True)] if worker else []
    return sum(times.user + times.system for times in (each.cpu_times() for each in processes))


if __name__ == "__main__":
    main()
