"""The whole stack replays real candles. It serves what the files say, and raises the alerts that the rule says.

The expected values are computed from the files, without the code of the tracker (tests/support/candle_books.py).
"""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.candle_books import DAY, MINUTE, busiest_start, expected_series, first_minute, pairs
from tests.support.candle_files import FOLDER
from tests.support.servers import wait_for
from tests.support.stack import Stack
from tracker.commands.start import FIRST_START, _environment
from tracker.models import Alert
from tracker.settings import load


def test_series_ranks_and_deviations_are_those_of_the_candles(tmp_path: Path) -> None:
    at = first_minute() + 20 * 3600  # the first four hours of the window are before the first candle
    with Stack(tmp_path, "--candles", str(FOLDER), "--at", str(at), INTERVAL="5") as stack:
        stack.ready()
        opened = float((next(tmp_path.glob("replay-*")) / FIRST_START).read_text())
        shift = int(opened // MINUTE * MINUTE) - at
        # After a fetch in the middle of a minute, the closed minutes no longer change.
        wait_for(lambda: 15 < time.time() % MINUTE < 45 and fetched_this_minute(stack), "mid-minute", 90)
        deviations: dict[str, dict[str, float]] = {"price": {}, "volume": {}}
        served = {}
        for pair in pairs():
            for field, found in deviations.items():
                metric = stack.get(f"/v1/metrics/replay:{pair}:{field}")
                first = metric["start"] - shift
                expected = expected_series(pair, field, first, first + DAY)
                assert metric["values"][:-1] == expected[:-1], metric["id"]
                closed = np.array([value for value in expected[:-1] if value is not None])
                assert metric["stddev_24h"] == pytest.approx(np.std(closed), rel=1e-9)
                assert metric["mean_1h"] == pytest.approx(np.mean(closed[-60:]), rel=1e-9)
                found[metric["id"]] = float(np.std(closed))
                served[metric["id"]] = metric["rank"]
        assert None in metric["values"][:240]
        for found in deviations.values():
            order = sorted(found, key=lambda id: found[id], reverse=True)
            assert {id: served[id]["text"] for id in order} == {id: f"{i}/10" for i, id in enumerate(order, 1)}


def test_a_replay_begins_in_the_minute_of_its_first_start(tmp_path: Path) -> None:
    (tmp_path / FIRST_START).write_text("1700000039.7")  # 0.3 s before its end
    assert _environment(load({"SIMULATOR_CANDLES": str(FOLDER)}), tmp_path)["SIMULATOR_START"] == "1700000039"


def fetched_this_minute(stack: Stack) -> bool:
    success = float(stack.store.status("simulator").get("last_success", 0))
    return success // MINUTE == time.time() // MINUTE and success % MINUTE > 10


def test_alerts_are_those_of_the_rule(tmp_path: Path) -> None:
    """Twelve minutes at 10 x speed: the stack raises the same alerts as a plain loop over the candles."""
    minutes, speed = 12, 10
    at, expected = busiest_start(minutes)
    assert len(expected) >= 5
    with Stack(tmp_path, "--candles", str(FOLDER), "--at", str(at), "--speed", str(speed), INTERVAL="20") as stack:
        stack.ready()
        assert any(f"24 h of {len(pairs())} of {len(pairs())} markets" in line for line in stack.lines), stack.lines
        opened = float((next(tmp_path.glob("replay-*")) / FIRST_START).read_text())
        shift = int(opened // MINUTE * MINUTE) - at

        def alerts() -> dict[tuple[str, int], Alert]:
            found = {(alert.metric, alert.slot - shift): alert for alert in stack.outbox.newest(1_000)}
            return {key: alert for key, alert in found.items() if key[1] <= at + minutes * MINUTE}

        end = opened + (minutes + 2) * MINUTE / speed
        wait_for(lambda: time.time() > end and alerts().keys() >= expected.keys(), "every alert of the replay", 150)
        found = alerts()
    assert {key: alert.baseline for key, alert in found.items()} == pytest.approx(expected, rel=1e-9)
    for alert in found.values():
        assert alert.value > 3 * alert.baseline
