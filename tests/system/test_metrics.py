"""The pages for Prometheus of real parts: what they tell, and that no count goes back when processes end."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import Stack
from tracker.clock import Clock
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app

#: Families of the page of workers and beats, and some of the API's page.
OF_PARTS = {
    "tracker_build_info", "tracker_evaluated_metrics", "tracker_evaluation_seconds", "tracker_fetch_seconds",
    "tracker_task_seconds", "tracker_task_wait_seconds", "tracker_ticks",
}  # fmt: skip
OF_API = {
    "tracker_api_cache", "tracker_api_request_seconds", "tracker_build_info", "tracker_last_tick_age_seconds",
    "tracker_newest_sample_age_seconds", "tracker_oldest_pending_delivery_seconds", "tracker_parts",
    "tracker_queue_length", "tracker_queue_oldest_age_seconds", "tracker_queues_seen_age_seconds",
    "tracker_store_memory_per_metric_bytes", "tracker_store_up",
}  # fmt: skip
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
#: Series of a page at most, whatever is watched. Most are of histograms.
MOST = 500


def scraped(url: str) -> dict[str, list]:
    """Family -> its samples."""
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    return {each.name: each.samples for each in text_string_to_metric_families(answer.text)}


def total(page: Mapping[str, list], name: str) -> float:
    """The sum of a counter, or of the counts of a histogram."""
    family = name.removesuffix("_total").removesuffix("_count")
    return sum(sample.value for sample in page.get(family, ()) if sample.name == name)


def is_shown(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.program("promtool")
def test_both_pages_of_a_stack_are_complete_and_bounded(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="30", INTERVAL="2") as stack:
        stack.ready()
        [market, *_] = stack.get("/v1/metrics")["metrics"]
        stack.get(f"/v1/metrics/{market['id']}")
        wait_for(lambda: total(scraped(stack.metrics), "tracker_task_seconds_count") > 50, "tasks are counted")
        pages = {stack.metrics: OF_PARTS, f"{stack.api}/metrics": OF_API}
        for url, families in pages.items():
            found = scraped(url)
            assert families - found.keys() == set()
            samples = [sample for family in found.values() for sample in family]
            assert len(samples) < MOST
            assert [name for name in found if name not in DOCUMENTED] == []
            labels = {value for sample in samples for value in sample.labels.values()}
            assert not [value for value in labels if re.search(r"\w:\w", value)]
            text = requests.get(url, timeout=10).content
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
            assert (checked.returncode, checked.stderr) == (0, b"")
        parts = {(each.labels["kind"], each.labels["state"]): each.value for each in found["tracker_parts"]}
        assert (parts["worker", "working"], parts["beat", "working"], parts["api", "working"]) == (3, 1, 2)
        # when the store is away
        store = stack.find("valkey-server")
        store.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: scraped(f"{stack.api}/metrics")["tracker_store_up"][0].value == 0, "that is told")
            assert scraped(f"{stack.api}/metrics")["tracker_api_request_seconds"]
            assert scraped(stack.metrics).keys() == scraped(stack.metrics).keys() | OF_PARTS
        finally:
            store.send_signal(signal.SIGCONT)
        wait_for(lambda: scraped(f"{stack.api}/metrics")["tracker_store_up"][0].value == 1, "it is back")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_no_count_goes_back_whoever_ends_and_another_shows_the_page(
    tmp_path: Path, store_server: StoreServer, pool: str
) -> None:
    port = str(free_port())
    url = f"http://127.0.0.1:{port}/metrics"
    variables = {
        "REDIS_URL": store_server.url, "DATA_DIR": str(tmp_path), "INTERVAL": "1", "METRICS_PORT": port,
        "WORKER_POOL": pool,
    }  # fmt: skip

    def grows(beyond: float) -> float:
        def now() -> float:
            return total(scraped(url), "tracker_task_seconds_count") if is_shown(url) else 0

        wait_for(lambda: now() > beyond, "it counts on")
        assert now() >= beyond
        return now()

    with (
        Exchange(create_app(Generated(markets=4, exchanges=2), Clock())) as exchange,
        Parts(tmp_path, SIMULATOR_URL=exchange.url, **variables) as parts,
    ):
        worker = parts.start("worker", "--concurrency", "2", prompt="ready.")
        wait_for(lambda: is_shown(url), "the worker shows the page")
        parts.start("beat", prompt="beat: Starting")
        counted = grows(20)
        for child in psutil.Process(worker.process.pid).children():
            os.kill(child.pid, signal.SIGKILL)
        counted = grows(counted + 10)
        worker.kill("SIGKILL")
        wait_for(lambda: is_shown(url), "the beat shows the page")
        assert total(scraped(url), "tracker_task_seconds_count") >= counted
        worker.restart()
        grows(counted + 10)
    files = list((tmp_path / "metrics" / "worker").glob("counter_*"))
    assert len(files) <= 3  # the main process and its two children
