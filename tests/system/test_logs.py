"""Every part writes one line an event: all of them run, and the test reads all that they wrote."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.parts import Parts
from tests.support.processes import LocalProcess
from tests.support.servers import answers, free_port, wait_for

PROMPTS = {
    "store": "Ready to accept connections unix", "simulate": "10 markets", "worker": "ready.", "beat": "Starting...",
    "api": "Started worker-2", "flower": "Visit me at",
}  # fmt: skip
PARTS = {"store", "simulator", "worker-fetch-evaluate", "beat", "api", "flower"}


def run(folder: Path, **variables: str) -> Iterator[LocalProcess]:
    """All parts, once they have done their work and have been told to stop."""
    ports = {f"{name}_PORT": str(free_port()) for name in ("STORE", "SIMULATOR", "API", "FLOWER", "METRICS")}
    data = {"DATA_DIR": str(folder / "data"), "SIMULATOR_MARKETS": "10", "SIMULATOR_EXCHANGES": "1"}
    with Parts(folder, **data, **ports, **variables) as parts:
        for name, prompt in PROMPTS.items():
            queues = ("fetch", "evaluate") if name == "worker" else ()
            parts.start(name, *queues, prompt=prompt)
        url = f"http://127.0.0.1:{ports['API_PORT']}/v1/a%0A%1Bb"
        assert requests.get(url, headers={"X-Request-Id": "mine-1"}, timeout=30).json()["request_id"] == "mine-1"
        [worker] = [part for part in parts.started if part.name == "worker"]
        wait_for(lambda: re.search("done.*evaluate.*market", worker.logs()), "a market is evaluated", 60)
        # Flower ignores a signal between the start of its threads and that of its loop.
        wait_for(lambda: answers(f"http://127.0.0.1:{ports['FLOWER_PORT']}/healthcheck"), "Flower answers")
        started = list(reversed(parts.started))
        for part in started:
            part.process.terminate()
            part.process.wait(60)
    yield from started


@pytest.mark.slow
def test_all_lines_of_all_parts_are_json_with_the_same_fields(tmp_path: Path) -> None:
    parts = run(tmp_path, LOG_FORMAT="json")
    logs = {part.name: [json.loads(line) for line in part.logs().splitlines()] for part in parts}
    assert all({"time", "level", "part", "message", "logger"} <= line.keys() for log in logs.values() for line in log)
    assert {line["part"] for log in logs.values() for line in log} == PARTS
    [asked] = [line for line in logs["api"] if "request_id" in line]
    assert (asked["request_id"], asked["message"]) == ("mine-1", "404 GET /v1/a%0A%1Bb")
    fetched = next(line for line in logs["worker"] if line.get("task") == "fetch")
    assert fetched["market"].count(":") == 1 and fetched["ms"] >= 0 and len(fetched["task_id"]) == 36
