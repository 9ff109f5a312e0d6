"""The alerts of deploy/monitoring fire for real faults of the whole stack, reach a receiver, and end."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import requests
from redis import OutOfMemoryError

from tests.support.monitoring import FOLDER, Monitoring
from tests.support.servers import free_port, wait_for
from tests.support.stack import Stack

#: Some of so many volumes rise above their mean in each minute.
RULES = """
[rules.trades]
kind = "ratio"
match = "*:volume"
factor = 1
clear_factor = 1
channels = ["log"]
"""
MB = 1 << 20
#: Metrics that only a tracker with more than these tests start has.
ABSENT = {"tracker_canary_age_seconds"}
BOARD = json.loads((FOLDER / "grafana" / "board.json").read_text())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("tracker")
    (folder / "rules.toml").write_text(RULES)
    variables = {"RULES": str(folder / "rules.toml"), "INTERVAL": "1", "SIMULATOR_MARKETS": "12",
                 "METRICS_PORT": str(free_port()), "FETCH_CONCURRENCY": "2", "EVALUATE_CONCURRENCY": "1",
                 "NOTIFY_CONCURRENCY": "1"}  # fmt: skip
    with Stack(folder / "var", **variables) as stack:
        stack.ready().redis.config_set("maxmemory", "1gb")
        yield stack


@pytest.fixture(scope="module")
def monitoring(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    ports = {"tracker-api": "API_PORT", "tracker-parts": "METRICS_PORT"}
    targets = {job: [f"127.0.0.1:{stack.environment[port]}"] for job, port in ports.items()}
    with Monitoring(tmp_path_factory.mktemp("monitoring"), targets) as monitoring:
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
    pages = [f"http://{address}/metrics" for addresses in monitoring.targets.values() for address in addresses]
    text = "".join(requests.get(page, timeout=10).text for page in pages)
    used = (FOLDER / "alerts.yml").read_text() + json.dumps([panel["targets"] for panel in BOARD["panels"]])
    names = set(re.findall(r"\btracker_\w+", used)) - ABSENT
    assert {name for name in names if not re.search(rf"^{name}\b", text, re.MULTILINE)} == set()

    def empty() -> list[str]:
        return [each for each in expressions() if not monitoring.query(each)]

    wait_for(lambda: not empty(), "every panel shows something", 60)
    wait_for(lambda: not monitoring.query("ALERTS"), "no alert fires while all is well")


def expressions() -> list[str]:
    every = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "10s") for each in every]


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
@pytest.mark.parametrize(
    ("part", "alert", "labels"),
    [
        ("simulator", "TrackerSourceDown", {"source": "simulator"}),
        ("workers:notify", "TrackerNoWorker", {"queue": "notify"}),
        ("beat", "TrackerNoBeat", {"source": "simulator"}),
        ("store", "TrackerStoreAway", {}),
        ("api", "TrackerApiAway", {}),
    ],
)
def test_the_alert_of_a_part_that_is_gone_is_told_and_ends(
    stack: Stack, monitoring: Monitoring, part: str, alert: str, labels: dict[str, str]
) -> None:
    before = len(monitoring.sent)
    control(stack, "stop", part)
    monitoring.wait_until_told(alert, since=before, **labels)
    control(stack, "start", part)
    monitoring.wait_until_told(alert, firing=False, since=before, **labels)
    assert {name for name, *_ in monitoring.sent[before:]} == {alert}
    wait_for(lambda: not monitoring.query("ALERTS"), "all alerts have ended", 60)


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-alertmanager")
def test_the_alert_of_a_full_store_is_told_and_ends(stack: Stack, monitoring: Monitoring) -> None:
    before = len(monitoring.sent)
    stack.redis.config_set("maxmemory", stack.redis.info("memory")["used_memory"] + 2 * MB)
    with pytest.raises(OutOfMemoryError):
        for _ in range(20):
            stack.redis.rpush("filler", b"x" * MB)
    monitoring.wait_until_told("TrackerStoreMemory", since=before)
    stack.redis.delete("filler")
    stack.redis.config_set("maxmemory", "1gb")
    monitoring.wait_until_told("TrackerStoreMemory", firing=False, since=before)
