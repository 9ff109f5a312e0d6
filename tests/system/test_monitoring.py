"""The alerts of deploy/monitoring fire for real faults of the whole stack, reach a receiver, and end."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest
import requests
from redis import OutOfMemoryError

from tests.support.busy import RULES, feed
from tests.support.exchange import Exchange
from tests.support.monitoring import FOLDER, Monitoring
from tests.support.servers import wait_for
from tests.support.stack import ROOT, Stack
from tracker.clock import Clock
from tracker.simulator.server import create_app

MB = 1 << 20
#: Metrics that are not there as long as the canary is off.
ABSENT = {"tracker_canary_age_seconds"}
TARGETS = [target for panel in json.loads((FOLDER / "grafana" / "board.json").read_text())["panels"]
           for target in panel["targets"]]  # fmt: skip


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(create_app(feed(), Clock())) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def stack(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("tracker")
    (folder / "rules.toml").write_text(RULES)
    variables = {"RULES": str(folder / "rules.toml"), "INTERVAL": "2", "SIMULATOR_URL": exchange.url,
                 "FETCH_CONCURRENCY": "2", "EVALUATE_CONCURRENCY": "1",
                 "NOTIFY_CONCURRENCY": "1"}  # fmt: skip
    with Stack(folder / "var", **variables) as stack:
        yield stack.ready()


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    command = [sys.executable, "-m", "tracker", "keys", "create", "prometheus"]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def monitoring(stack: Stack, key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    ports = {"tracker-api": "API_PORT", "tracker-parts": "METRICS_PORT"}
    targets = {job: [f"127.0.0.1:{stack.environment[port]}"] for job, port in ports.items()}
    with Monitoring(tmp_path_factory.mktemp("monitoring"), targets, key) as monitoring:
        yield monitoring


def control(stack: Stack, *words: str) -> None:
    """Starts or stops a part for good: its supervisor does not start it again."""
    [line] = [line for line in stack.lines if line.startswith("Processes")]
    subprocess.run([*line.split()[1:-1], *words], check=True, capture_output=True, timeout=60)


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
def test_every_metric_of_the_rules_and_of_the_board_exists_and_every_panel_shows_something(
    stack: Stack, monitoring: Monitoring
) -> None:
    stack.redis.config_set("maxmemory", "1gb")
    pages = [f"http://{address}/metrics" for addresses in monitoring.targets.values() for address in addresses]
    used = (FOLDER / "alerts.yml").read_text() + json.dumps(TARGETS)
    names = set(re.findall(r"\btracker_\w+", used)) - ABSENT

    def missing() -> set[str]:
        text = "".join(requests.get(page, timeout=10).text for page in pages)
        return names - set(re.findall(r"^tracker_\w+", text, re.MULTILINE))

    wait_for(lambda: not missing(), f"every metric exists: {missing()}", 60)

    def empty() -> list[str]:
        return [each["expr"] for each in TARGETS if not shown(monitoring, each)]

    wait_for(lambda: not empty(), f"every panel shows something: {empty()}", 60)
    wait_for(lambda: not monitoring.query("ALERTS"), "no alert fires while all is well", 60)


def shown(monitoring: Monitoring, target: dict[str, str]) -> bool:
    """Whether a line of a panel has values, and the labels that its legend names."""
    found = monitoring.query(target["expr"].replace("$__rate_interval", "10s"))
    labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    return any(labels <= set(each["metric"]) for each in found)


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
def test_an_exchange_and_a_worker_that_are_gone(stack: Stack, monitoring: Monitoring, exchange: Exchange) -> None:
    before = len(monitoring.sent)
    control(stack, "stop", "workers:notify")
    answer, exchange.app = exchange.app, away
    monitoring.wait_until_told("TrackerSourceDown", since=before, source="simulator")
    exchange.app = answer
    monitoring.wait_until_told("TrackerNoWorker", since=before, queue="notify")
    control(stack, "start", "workers:notify")
    monitoring.wait_until_told("TrackerNoWorker", False, before, queue="notify")
    monitoring.wait_until_told("TrackerSourceDown", False, before, source="simulator")


def away(environ: dict, start_response: Callable) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [])
    return [b"We will be back soon"]


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
def test_a_beat_that_is_gone_and_nobody_is_told_what_follows_from_it(stack: Stack, monitoring: Monitoring) -> None:
    before = len(monitoring.sent)
    control(stack, "stop", "beat")
    monitoring.wait_until_told("TrackerNoBeat", since=before, source="simulator")
    wait_for(lambda: monitoring.held_back("TrackerSourceDown"), "that the source gives no data is held back")
    assert not monitoring.told("TrackerSourceDown", since=before)
    control(stack, "start", "beat")
    monitoring.wait_until_told("TrackerNoBeat", False, before, source="simulator")


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
def test_a_store_that_is_full(stack: Stack, monitoring: Monitoring) -> None:
    before = len(monitoring.sent)
    stack.redis.config_set("maxmemory", stack.redis.info("memory")["used_memory"] + MB)
    with pytest.raises(OutOfMemoryError):
        for _ in range(1_000):
            stack.redis.append("filler", bytes(MB // 100))
    monitoring.wait_until_told("TrackerStoreMemory", since=before)
    stack.redis.delete("filler")
    stack.redis.config_set("maxmemory", 0)
    monitoring.wait_until_told("TrackerStoreMemory", False, before)


def test_a_scrape_with_a_key_is_answered_in_time_while_the_store_is_away(stack: Stack, key: str) -> None:
    """The rule for a store that is away needs the answer. Prometheus waits 10 s, but not when it runs so fast."""

    def page() -> str:
        return requests.get(f"{stack.api}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=10).text

    wait_for(lambda: "tracker_store_up 1.0" in page(), "the API knows the key")
    control(stack, "stop", "store")
    try:
        wait_for(lambda: "tracker_store_up 0.0" in page(), "it says that the store is away")
    finally:
        control(stack, "start", "store")
