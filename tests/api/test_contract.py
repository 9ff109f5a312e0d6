"""Schemathesis sends a live server requests that its document allows or forbids. All answers must fit the document."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.served import served
from tests.support.tracked import RING, Tracked, market, spread
from tracker import pipeline
from tracker.alerts.outbox import Outbox

pytestmark = pytest.mark.slow  # starts processes of its own

CONFIG = Path(__file__).parent / "schemathesis.toml"


def test_no_answer_differs_from_the_document(tracked: Tracked, tmp_path: Path) -> None:
    now, ids = time.time(), ["kraken:btcusd", "kraken:ethusd"]
    tracked.store.watch("simulator", [market(id) for id in ids])
    for id in ids:
        tracked.put(id, spread(1_000, 50), RING.slots(now))
    pipeline.evaluate(tracked.store, Outbox(tracked.store.redis), (), ids, now)

    with served(tracked.url) as url:
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "run",
            f"{url}/v1/openapi.json",
        ]
        options = ["--checks", "all", "--max-examples", "30", "--seed", "1", "--max-time", "25", "--no-color"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=180)

    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
