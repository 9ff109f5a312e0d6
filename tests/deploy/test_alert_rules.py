"""The alert rules of deploy/monitoring: Prometheus takes them, and each fires in time, alone, and ends."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose import seconds
from tests.support.image import ROOT
from tests.support.programs import find

FOLDER = ROOT / "deploy" / "monitoring"
RULES = {rule["alert"]: rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
         for rule in group["rules"]}  # fmt: skip
#: Seconds between two samples, which is also the time between two evaluations.
EVERY = 15
#: How long all is well before the fault, in seconds, and how long the fault lasts after the alert must fire.
BEFORE, AFTER = 600, 60


@dataclass(frozen=True)
class Fault:
    """Series with two values each: while all is well, and during the fault.

    labels: of the alert. counters: the values are what a series grows by with each sample. within: seconds after which
    the alert fires, besides its own ``for``, and after which it ends.
    """

    alert: str
    series: Mapping[str, tuple[float, float]]
    labels: Mapping[str, str] = field(default_factory=dict)
    counters: bool = False
    within: int = 0


def gauge(alert: str, series: str, well: float, ill: float, **labels: str) -> Fault:
    return Fault(alert, {series: (well, ill)}, labels)


AGE, LIMIT, INTERVAL = (
    f'tracker_{name}{{source="kraken",instance="api"}}'
    for name in ("newest_sample_age_seconds", "sample_age_limit_seconds", "interval_seconds")
)
BEATS = 'tracker_parts{kind="beat",state="working"}'
STATE, TICK = (f'tracker_{name}{{source="kraken"}}' for name in ("source_state", "last_tick_age_seconds"))
SEEN = "tracker_queues_seen_age_seconds"
WAITING = 'tracker_queue_oldest_age_seconds{queue="fetch"}'
MEMORY, MEMORY_LIMIT = "tracker_store_memory_bytes", "tracker_store_memory_limit_bytes"
API = 'up{job="tracker-api",instance="api"}'
REQUESTS = "tracker_api_request_seconds"
FAULTS = [
    Fault("TrackerDataStale", {AGE: (90, 181), LIMIT: (180, 180)}, {"source": "kraken"}),
    gauge("TrackerSourceDown", STATE, 0, 3, source="kraken"),
    gauge("TrackerSourceDown", STATE, 0, 4, source="kraken"),
    gauge("TrackerSourceDegraded", STATE, 0, 1, source="kraken"),
    gauge("TrackerSourceDegraded", STATE, 0, 2, source="kraken"),
    gauge("TrackerCanaryLate", "tracker_canary_age_seconds", 70, 181),
    Fault("TrackerNoBeat", {TICK: (61, 181), INTERVAL: (60, 60)}, {"source": "kraken"}),
    Fault("TrackerNoBeat", {INTERVAL: (60, 60), BEATS: (1, 0)}, {"source": "kraken"}),
    gauge("TrackerNoWorker", 'tracker_queue_workers{queue="notify"}', 1, 0, queue="notify"),
    gauge("TrackerPartsIdle", 'tracker_parts{kind="worker",state="idle"}', 0, 1, kind="worker"),
    gauge("TrackerPartsIdle", 'tracker_parts{kind="beat",state="silent"}', 0, 1, kind="beat"),
    Fault("TrackerQueueBacklog", {WAITING: (20, 121), INTERVAL: (60, 60)}, {"queue": "fetch"}),
    Fault("TrackerQueueBacklog", {WAITING: (20, 31), INTERVAL: (5, 5)}, {"queue": "fetch"}),
    Fault("TrackerQueuesUnseen", {SEEN: (5, 61), WAITING: (20, 1_000), INTERVAL: (60, 60)}),
    Fault("TrackerTicksMissed", {'tracker_ticks_total{source="kraken",outcome="missed"}': (0, 1)}, {"source": "kraken"},
          counters=True, within=300),
    gauge("TrackerDeliveriesDead", "tracker_dead_deliveries", 4, 5),
    gauge("TrackerDeliveriesPending", "tracker_oldest_pending_delivery_seconds", 30, 601),
    gauge("TrackerStoreAway", 'tracker_store_up{instance="api"}', 1, 0, instance="api"),
    Fault("TrackerStoreMemory", {MEMORY: (80, 91), MEMORY_LIMIT: (100, 100)}),
    gauge("TrackerAofFailing", "tracker_store_aof_ok", 1, 0),
    gauge("TrackerAofOff", "tracker_store_aof_enabled", 1, 0),
    Fault("TrackerApiErrors", {f'{REQUESTS}_count{{route="/",status="{status}"}}': counts
                               for status, counts in (("200", (99, 90)), ("503", (1, 10)))}, counters=True, within=300),
    Fault("TrackerApiSlow", {f'{REQUESTS}_bucket{{route="/",status="200",le="{le}"}}': (100, counts)
                             for le, counts in (("0.5", 0), ("1", 100), ("+Inf", 100))}, counters=True, within=300),
    gauge("TrackerApiAway", API, 1, 0),
    gauge("TrackerTargetDown", 'up{job="tracker-parts",instance="beat"}', 1, 0, job="tracker-parts", instance="beat"),
]  # fmt: skip
#: What must not alert: no limit of memory, and requests whose 503 says what it is asked for.
FINE = {
    SEEN: 5,
    MEMORY: 91,
    MEMORY_LIMIT: 0,
    f'{REQUESTS}_count{{route="/readyz",status="503"}}': 1,
    API: 1,
    STATE.replace("kraken", "binance"): 0,
    'tracker_parts{kind="worker",state="working"}': 1,
}


def test_every_rule_has_a_fault_that_fires_it() -> None:
    assert {fault.alert for fault in FAULTS} == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    path, _, section = rule["annotations"]["runbook"].partition("#")
    assert section == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in (ROOT / path).read_text()


@pytest.mark.program("promtool")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.alert}-{next(iter(fault.series.values()))[1]}")
def test_an_alert_fires_in_time_and_alone_and_ends(fault: Fault, tmp_path: Path) -> None:
    lasts = seconds(RULES[fault.alert].get("for", "0s"))
    fires = int(BEFORE + lasts + fault.within)
    ends = fires + AFTER + fault.within
    checked = [(BEFORE - EVERY, []), (fires, [{"labels": firing(fault), "value": 1}]), (ends, [])]
    if lasts:
        checked.append((int(BEFORE + lasts) - EVERY, []))
    test = {
        "interval": f"{EVERY}s",
        "input_series": [{"series": name, "values": values} for name, values in series(fault, fires).items()],
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{at}s", "exp_samples": found}
            for at, found in checked
        ],
    }
    (file := tmp_path / "test.yml").write_text(yaml.safe_dump({
        "rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": f"{EVERY}s", "tests": [test]
    }))  # fmt: skip
    done = subprocess.run([str(find("promtool")), "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def firing(fault: Fault) -> str:
    """The series with which Prometheus tells that the alert fires."""
    labels = RULES[fault.alert]["labels"] | fault.labels | {"alertname": fault.alert, "alertstate": "firing"}
    return "ALERTS{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def series(fault: Fault, fires: int) -> dict[str, str]:
    """Series -> its values as promtool reads them: all well, the fault until after the alert, all well again."""
    lengths = BEFORE // EVERY, (fires + AFTER - BEFORE) // EVERY, (fault.within + AFTER) // EVERY
    found = {name: values(well, ill, lengths, fault.counters) for name, (well, ill) in fault.series.items()}
    fine = {name: values(value, value, lengths, "_count" in name) for name, value in FINE.items()}
    return fine | found


def values(well: float, ill: float, lengths: tuple[int, int, int], counter: bool) -> str:
    each = [*[well] * lengths[0], *[ill] * lengths[1], *[well] * lengths[2]]
    return " ".join(str(sum(each[: place + 1]) if counter else value) for place, value in enumerate(each))
