"""Measures the cost of a request to the API: CPU of web and store, and latencies. The baseline is a bare Flask hello.

The server is Granian with 2 workers, as ``python -m tracker api`` starts it, with a real store of full rings. The
client is ``wrk`` (Debian's), on the same cores. Cold requests never repeat; warm ones ask for 200 hot metrics in turn.
With keys and limits, each request has a key and is counted. Through nginx: the shipped site with TLS, without its
limits. At last, 500 pollers each ask every 5 s, with an ETag. CPU is user and system time of all server processes, per
request.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
import requests

from tests.support import redis_servers
from tests.support.programs import find
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.site import nginx
from tests.support.stored import write_slot
from tracker.alerts.outbox import Outbox
from tracker.models import Market
from tracker.pipeline import evaluate
from tracker.series.ring import Ring
from tracker.store.api_keys import Keys
from tracker.store.connection import connect
from tracker.store.series import Store

ROOT = Path(__file__).parent.parent
RING = Ring(60)
HOT = 200
#: A wrk script: each thread requests its own part of the paths in a file, in turn.
SCRIPT = """
local paths, at, threads = {}, 0, 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init(args)
  if args[3] then wrk.headers["Authorization"] = "Bearer " .. args[3] end
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  at = math.floor(number * #paths / tonumber(args[2]))
end
function request() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %.0f %.0f %.0f\\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Server:
    """A web server and its store's process, for their CPU time. ``command``: how the server starts."""

    def __init__(self, stack: ExitStack, store: StoreServer | redis_servers.Server, *command: str, **variables: str):
        self.url = f"http://127.0.0.1:{variables['API_PORT']}"
        self.process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=clean() | variables)
        stack.callback(self.process.wait)
        stack.callback(self.process.terminate)
        wait_for(self._answers, f"{self.url} answers")
        self.web = [psutil.Process(self.process.pid)]
        assert store.process
        self.store = psutil.Process(store.process.pid)

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=2).status_code < 500  # 401 counts as an answer
        except requests.RequestException:
            return False

    def spent(self) -> np.ndarray:
        """CPU seconds so far: (web processes, store)."""
        web = [child for each in self.web for child in (each, *each.children(recursive=True))]
        return np.array([sum(sum(each.cpu_times()[:2]) for each in part) for part in (web, [self.store])])


def clean() -> dict[str, str]:
    """Only the needed part of this machine's environment, because granian copies it for every request."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.api", description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4, help="of each figure")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--only", nargs="+", help="figures whose names begin so")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(StoreServer(folder))
        print(f"{options.metrics} metrics ...", flush=True)
        fill(store.url, options.metrics)
        Bench(stack, folder, store, options).run()


class Bench:
    def __init__(self, stack: ExitStack, folder: Path, store: StoreServer, options: argparse.Namespace):
        self.stack, self.folder, self.store, self.options = stack, folder, store, options
        self.ids = [f"bench:pair{number}:{field}" for number in range(options.metrics // 2) for field in FIELDS]
        self.fed = 0

    def run(self) -> None:
        hello = self.server("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--workers", "2",
                            "--blocking-threads", BLOCKING_THREADS, "bench.hello:app")  # fmt: skip
        api = self.server("-m", "tracker", "api", **self.store.variables, LOG_LEVEL="error")
        hot = [f"/v1/metrics/{id}" for id in self.ids[:: len(self.ids) // HOT]][:HOT]
        listed = ["/v1/metrics?field=price&limit=100"]
        with connect(self.store.url) as redis:
            key = Keys(redis).create("bench", "read", time.time())
        limits = {"API_READS": "key", "API_KEY_RATE": "1000000", "API_RATE": "1000000"}
        guarded = self.server("-m", "tracker", "api", **self.store.variables, LOG_LEVEL="error", **limits)
        for connections in self.options.connections:
            base = self.measure("bare Flask hello", hello, ["/"], connections, 1.0)
            self.measure("one series, cold", api, None, connections, base)
            self.measure("one series, warm", api, hot, connections, base)
            self.measure("  with keys and limits", guarded, hot, connections, base, key)
            self.measure("100 in rank order, warm", api, listed, connections, base)
            if find("nginx") and not self.options.only:
                self.behind_nginx(api, hot, connections, base)
        if not self.options.only:
            self.poll(api, hot)

    def behind_nginx(self, api: Server, hot: list[str], connections: int, base: float) -> None:
        unlimited = {"rate=20r/s": "rate=100000r/s", "burst=100": "burst=100000", "_connections 50": "_connections 500"}
        (folder := self.folder / f"nginx-{connections}").mkdir()
        with nginx(folder, api.url, unlimited) as site:
            assert site.process
            front = copy(api)
            front.url, front.web = f"https://127.0.0.1:{site.port}", [*api.web, psutil.Process(site.process.pid)]
            self.measure("  through nginx", front, hot, connections, base)

    def poll(self, api: Server, hot: list[str], pollers: int = 500, every: float = 5) -> None:
        """Prints the cost of many clients that poll for changes."""
        took: list[float] = []
        until = time.monotonic() + 4 * every

        def look(number: int) -> None:
            connection, etag = HTTPConnection(api.url.removeprefix("http://"), timeout=30), ""
            at = time.monotonic() + every * number / pollers
            while at < until:
                time.sleep(max(0.0, at - time.monotonic()))
                began = time.perf_counter()
                connection.request("GET", hot[number % len(hot)], headers={"If-None-Match": etag})
                answer = connection.getresponse()
                answer.read()
                took.append(time.perf_counter() - began)
                etag, at = answer.headers["ETag"], at + every

        with ThreadPoolExecutor(pollers) as threads:
            before, began = api.spent(), time.monotonic()
            list(threads.map(look, range(pollers)))
        web, kept = (api.spent() - before) / (time.monotonic() - began) * 100
        p50, p99 = np.percentile(took, [50, 99]) * 1e3
        print(
            f"{pollers} pollers, each every {every:g} s: {web:.1f} % of a core for the web, {kept:.1f} % for the "
            f"store, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )

    def server(self, *command: str, **variables: str) -> Server:
        port = str(free_port())
        if "granian" in command:
            command = (*command[:2], "--port", port, *command[2:])
        return Server(self.stack, self.store, *command, API_PORT=port, **variables)

    def measure(
        self, name: str, server: Server, paths: list[str] | None, connections: int, base: float, key: str = ""
    ) -> float:
        """Prints a line of figures. Returns the CPU of a request in microseconds; 0 if the figure is not wanted."""
        if self.options.only and base != 1.0 and not name.startswith(tuple(self.options.only)):
            return 0.0
        wrk(self.folder, server.url, paths or self.cold(), connections, 1, key)
        live(self.store.url, self.options.metrics)
        before = server.spent()
        requested, errors, seconds, p50, p99 = wrk(
            self.folder, server.url, paths or self.cold(), connections, self.options.seconds, key
        )
        web, kept = (server.spent() - before) / requested * 1e6
        cost = web + kept
        ratio = f", {cost / base:5.2f} x hello" if base != 1.0 else ""
        print(
            f"{name:26}{connections:3} connections: {cost:4.0f} us CPU (web {web:.0f}, store {kept:.0f}){ratio}, "
            f"{requested / seconds:6.0f}/s, "
            f"p50 {p50 / 1e3:.2f} ms, p99 {p99 / 1e3:.2f} ms" + (f", {errors} ERRORS" if errors else ""),
            flush=True,
        )
        return cost

    def cold(self) -> list[str]:
        """Paths that were never requested: whole windows, each with another ``since`` before it."""
        self.fed += 1
        return [f"/v1/metrics/{id}?since={5 * self.fed + again}" for again in range(5) for id in self.ids]


def wrk(folder: Path, url: str, paths: list[str], connections: int, seconds: float, key: str = "") -> list[float]:
    """Requests ``paths`` in turn. Returns requests, errors, seconds, and p50 and p99 in microseconds."""
    threads, file, script = min(connections, 2), folder / "paths.txt", folder / "paths.lua"
    file.write_text("\n".join(paths))
    script.write_text(SCRIPT)
    command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds:.0f}s", "-s", str(script), url]
    done = subprocess.run(
        [*command, "--", str(file), str(threads), *([key] if key else [])], capture_output=True, text=True, check=True
    )
    numbers = re.search(r"RESULT (.*)", done.stdout)
    assert numbers, done.stdout
    requested, errors, duration, p50, p99 = map(float, numbers[1].split())
    return [requested, errors, duration / 1e6, p50, p99]


FIELDS = ("price", "volume")
BLOCKING_THREADS = "2"


def fill(url: str, metrics: int) -> None:
    """Stores full windows of ``metrics`` and evaluates them."""
    now, random = time.time(), np.random.default_rng(1)
    with connect(url) as redis:
        store = Store(redis, RING)
        markets = [Market(f"bench:pair{number}", f"pair{number}", "usd") for number in range(metrics // 2)]
        store.watch("simulator", markets)
        slots = RING.slots(now)
        for number, market in enumerate(markets):
            price = np.round(100 * np.exp(np.cumsum(random.standard_normal(len(slots)) * 1e-3)), 2)
            volume = np.round(random.pareto(1.5, len(slots)) * (1 + number), 8)
            store.write("simulator", market.id, slots, np.column_stack([price, volume]), now, new=True)
    live(url, metrics)


def live(url: str, metrics: int) -> None:
    """Does the work of a minute: writes a new slot of all markets, finishes the previous one, evaluates all."""
    now, random = time.time(), np.random.default_rng(2)
    with connect(url) as redis:
        store, markets = Store(redis, RING), [f"bench:pair{number}" for number in range(metrics // 2)]
        values = np.round(random.uniform(90, 110, (len(markets), len(FIELDS))), 2)
        write_slot(store, markets, RING.slot(now) - RING.step, values, final=True)
        write_slot(store, markets, RING.slot(now), values)
        evaluate(store, Outbox(redis), (), markets, now)


if __name__ == "__main__":
    main()
