"""Measures the time from a candle at the source to its notice at the receiver, through the whole stack.

Each of ``--markets`` markets is sampled every ``--interval`` seconds and spikes once, at a random time. The baseline is
bare POSTs of the same notices from one process to the same receiver.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import requests

from tests.support.exchange import Exchange
from tests.support.http_server import HttpServer
from tests.support.servers import wait_for
from tests.support.stack import Stack
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.simulator.trades import Candle, trades

RULES = """
[channels.hook]
kind = "webhook"
url = {url}
allow_private = true

[rules.spike]
kind = "ratio"
match = "*:volume"
factor = 100
channels = ["hook"]
"""


class Spiking(Generated):
    """Generated markets. From ``times[market]`` on, the volume of that minute is a million times larger.

    available: when a source can show the spike, at its minute's first trade or later. shown: when it was first fetched.
    """

    def __init__(self, markets: int):
        super().__init__(seed=5, markets=markets, exchanges=3)
        self.times: dict[str, float] = {}
        self.available: dict[str, float] = {}
        self.shown: dict[str, float] = {}

    def candles(self, exchange: str, pair: str, first: int, last: int) -> np.ndarray:
        rows, market, now = super().candles(exchange, pair, first, last), f"{exchange}:{pair}", time.time()
        spike = self.times.get(market, now + 1)
        slot = spike // 60 * 60
        if spike > now or not (rows[:, 0] == slot).any():
            return rows
        rows = rows.copy()
        rows[rows[:, 0] == slot, 5] *= 1e6
        first_trade = trades(market, Candle(*rows[rows[:, 0] == slot][0].tolist()))[0].time
        self.available[market] = max(spike, first_trade)
        if now >= self.available[market]:
            self.shown.setdefault(market, now)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.alerts", description=__doc__)
    parser.add_argument("--markets", type=int, default=250, help="two metrics each")
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=90, help="all markets spike in this time")
    options = parser.parse_args()
    received: dict[str, float] = {}
    feed = Spiking(options.markets)
    with HttpServer() as receiver, tempfile.TemporaryDirectory() as folder:

        def take(request: BaseHTTPRequestHandler) -> None:
            _, exchange, pair, *_ = request.headers["Idempotency-Key"].split(":")
            received.setdefault(f"{exchange}:{pair}", time.time())
            request.send_response(200)
            request.send_header("Content-Length", "0")
            request.end_headers()

        receiver.answer = take
        rules = Path(folder) / "rules.toml"
        rules.write_text(RULES.format(url=json.dumps(receiver.url)))
        variables = {"INTERVAL": str(options.interval), "RULES": str(rules)}
        with (
            Exchange(create_app(feed, Clock())) as exchange,
            Stack(Path(folder) / "var", SIMULATOR_URL=exchange.url, **variables) as stack,
        ):
            stack.ready(300)
            run(options, feed, received, stack.outbox)
            bare(receiver)


def run(options: argparse.Namespace, feed: Spiking, received: Mapping[str, float], outbox: Outbox) -> None:
    busy = [
        f"{each.exchange}:{each.pair}"
        for each in feed.markets
        if len(feed.candles(each.exchange, each.pair, int(time.time()) - 86_400, int(time.time()))) > 1_400
    ]
    began = time.time() + 2
    feed.times = {market: began + random.uniform(0, options.seconds) for market in busy}
    wait_for(lambda: time.time() > began + options.seconds + 2 * options.interval, "all have spiked", 600)
    wait_for(lambda: received.keys() >= feed.shown.keys(), "all that was shown was told", 60)
    print(
        f"{options.markets} markets, {options.markets * 2 * 60 // options.interval} metrics a minute; "
        f"{len(received)} notices of {len(busy)} spikes ({len(busy) - len(feed.shown)} in minutes without a trade)"
    )
    found = {alert.metric.rpartition(":")[0]: alert.at for alert in outbox.newest(10_000)}
    show("from the answer that has it to the alert", [found[market] - feed.shown[market] for market in received])
    show("from the alert to the receiver", [received[market] - found[market] for market in received])
    show("both", [received[market] - feed.shown[market] for market in received])
    waits = [received[market] - feed.available[market] - options.interval for market in received]
    show("from being available, after the interval", waits)


def bare(receiver: HttpServer) -> None:
    posts, seconds = receiver.posts[:100], []
    with requests.Session() as session:
        for post in posts:
            began = time.perf_counter()
            session.post(receiver.url, data=post.body, headers={"Idempotency-Key": post.headers["Idempotency-Key"]})
            seconds.append(time.perf_counter() - began)
    show("a bare POST of the same", seconds)


def show(title: str, seconds: list[float]) -> None:
    p50, p99 = np.percentile(seconds, [50, 99])
    print(f"  {title:44} p50 {p50:8.3f} s   p99 {p99:8.3f} s   most {max(seconds):8.3f} s", flush=True)


if __name__ == "__main__":
    main()
