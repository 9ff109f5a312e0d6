"""Measures what publishing a task costs: on Redis, and on quorum queues of RabbitMQ with confirms.

CPU of this process and of the server for each message, in microseconds. The baseline is Celery's ``apply_async`` for
each message, on one connection.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.support.programs import find
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import StoreServer

ROOT = Path(__file__).parent.parent
BROKERS: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {"redis": StoreServer, "rabbitmq": RabbitMQ}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.publish", description=__doc__)
    parser.add_argument("--broker", choices=BROKERS, help="measure only this one")
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; the median counts")
    options = parser.parse_args()
    if options.broker:
        measure(options.broker, options.messages, options.rounds)
        return
    for broker in BROKERS:  # each in its own process, because Celery's app reads its settings once
        if broker == "rabbitmq" and not find("rabbitmq-server"):
            print("rabbitmq-server is not installed")
            continue
        case = ("--broker", broker, "--messages", str(options.messages), "--rounds", str(options.rounds))
        subprocess.run([sys.executable, "-m", "bench.publish", *case], cwd=ROOT, check=True)


def measure(broker: str, messages: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, BROKERS[broker](Path(folder)) as server:
        os.environ |= {"BROKER_URL": server.url, "REDIS_URL": "redis://127.0.0.1:1"}
        from tracker.tasks import fetch
        from tracker.worker.publishing import publish

        calls = [("simulator", ["exchange:pairpair"])] * messages

        def one_by_one() -> None:
            with fetch.app.producer_pool.acquire(block=True) as producer:
                for call in calls:
                    fetch.apply_async(call, expires=3_600, producer=producer)

        ways = {"publish": lambda: publish(fetch, calls, expires=3_600), "apply_async": one_by_one}
        process = psutil.Process(server.process.pid)
        found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        for publish_all in ways.values():
            publish_all()  # connects
        for _ in range(rounds):
            for way, publish_all in ways.items():
                found[way].append(spent(publish_all, process))
        for way, figures in found.items():
            client, served, wall = (median(each) / messages * 1e6 for each in zip(*figures, strict=True))
            print(
                f"{broker:9} {way:12} {client:6.0f} us CPU a message, {served:5.0f} of the server, {wall:6.0f} us each",
                flush=True,
            )


def spent(publish_all: Callable[[], object], server: psutil.Process) -> tuple[float, float, float]:
    """Seconds of CPU of this process and of the server, and of wall time."""
    before, began, own = server.cpu_times(), time.monotonic(), time.process_time()
    publish_all()
    after, ended, done = server.cpu_times(), time.monotonic(), time.process_time()
    return done - own, after.user + after.system - before.user - before.system, ended - began


if __name__ == "__main__":
    main()
