"""Measures the dashboard in a real Chromium with many stored metrics.

First chart: the time from navigation to the frame after the chart is drawn, with an empty cache and the real API. The
baseline is the chart library alone: a page that contains the data and draws the same two charts. Long tasks: reports of
the browser's PerformanceObserver while a grid shows nine panes and ten metrics get a new sample each second. Transfer:
compressed bytes of a first visit, as the browser counts them.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page

from api.pages import dashboard
from tests.support.board import RING, Board, running
from tests.support.browser import browser
from tests.support.programs import find
from tests.support.servers import StoreServer

#: Runs in the page: waits until the chart is visible and notes when the next frame begins.
SEEN = """
(() => {
  const drawn = () => document.querySelector("figcaption")?.textContent.includes("slots") || window.bare;
  const look = () => (drawn() ? requestAnimationFrame(() => (window.seen = performance.now())) : setTimeout(look, 1));
  look();
  window.tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({type: "longtask", buffered: true});
})()
"""
BARE = """<!doctype html><link rel=stylesheet href="static/vendor/uplot/uPlot-1.6.32.css"><body><script type=module>
import U from "./static/vendor/uplot/uPlot-1.6.32.js";
const data = DATA;
for (const each of data) new U({width: 1000, height: 300, series: [{}, {stroke: "blue"}]}, each, document.body);
window.bare = true;
</script>"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.dashboard", description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved with the baseline; the median counts")
    parser.add_argument("--seconds", type=int, default=20, help="seconds of watching for long tasks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as server:
        board = Board(server.url, alone=True)
        board.variables["INTERVAL"] = "1"
        prices = {f"kraken:p{number:04d}usd": 100.0 + number for number in range(options.metrics // 2)}
        board.fill(prices)
        with running(board), browser(find("chromium") or "chromium") as chrome:
            first_chart(chrome, board, options.rounds)
            long_tasks(chrome, board, list(prices)[:10], options.seconds)


def first_chart(chrome: Browser, board: Board, rounds: int) -> None:
    """Prints the time to the first chart, the baseline, and the size of a first visit."""
    ours, bare, sizes = [], [], []
    slots = RING.slots(time.time()).tolist()
    series = [[slots, np.random.default_rng(seed).standard_normal(len(slots)).tolist()] for seed in (1, 2)]
    html = BARE.replace("DATA", json.dumps(series))
    for _ in range(rounds + 1):
        took, size = visit(chrome, f"{board.url}?metric=kraken:p0001usd:price", None)
        ours.append(took)
        sizes.append(size)
        bare.append(visit(chrome, f"{board.url}bare", html)[0])
    cost, base = np.median(ours[1:]), np.median(bare[1:])  # the first round warms up the server
    print(f"first chart {cost:.0f} ms; the library alone {base:.0f} ms; ratio {cost / base:.2f}")
    print(f"first visit {max(sizes) / 1e3:.0f} kB transferred, of which files {files_size() / 1e3:.0f} kB", flush=True)


def visit(chrome: Browser, url: str, html: str | None) -> tuple[float, int]:
    """(milliseconds until the chart is visible, bytes transferred) of a visit with an empty cache."""
    context = chrome.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.add_init_script(SEEN)
    if html:
        page.route("**/bare", lambda route: route.fulfill(body=html, content_type="text/html"))
    received: list[int] = []
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(url)
    page.wait_for_function("window.seen")
    seen = page.evaluate("window.seen")
    page.wait_for_load_state("networkidle")
    context.close()
    return seen, int(sum(received))


def files_size() -> int:
    """Compressed bytes of the dashboard's files that a first visit loads."""
    names = [
        name for name in dashboard.names() if not name.startswith("vendor/sql.js") and not dashboard.DOCS.match(name)
    ]
    return sum(len(dashboard.file(name).coded("gzip").body) for name in names)


def long_tasks(chrome: Browser, board: Board, markets: list[str], seconds: int) -> None:
    """Prints the browser's long tasks while nine panes follow changing metrics for ``seconds``."""
    panes = ",".join(f"{market}:price" for market in markets[:9])
    page: Page = chrome.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True).new_page()
    page.add_init_script(SEEN.replace("look();", ""))
    page.goto(f"{board.url}?view=grid&panes={panes}")
    page.wait_for_function("document.querySelectorAll('.grid canvas').length === 9")
    page.evaluate("tasks.length = 0")
    before = page.locator(".grid .figure").all_inner_texts()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    over = threading.Event()
    writer = threading.Thread(target=write, args=(board, markets, over))
    writer.start()
    page.wait_for_timeout(seconds * 1000)
    over.set()
    writer.join()
    tasks = page.evaluate("tasks")
    assert page.locator(".grid .figure").all_inner_texts() != before, "the panes did not move"
    long = sum(task > 100 for task in tasks)
    print(
        f"{seconds} s of 9 panes, ten metrics updated each second, {len(asked) / seconds:.1f} requests a second: "
        f"{len(tasks)} tasks over 50 ms, {long} over 100 ms, longest {max(tasks, default=0):.0f} ms"
    )


def write(board: Board, markets: list[str], over: threading.Event) -> None:
    """Stores a new sample of each market every second, until ``over`` is set."""
    random = np.random.default_rng(1)
    while not over.wait(1):
        for market in markets:
            board.put(market, float(random.uniform(90, 130)), 1.0)


if __name__ == "__main__":
    main()
