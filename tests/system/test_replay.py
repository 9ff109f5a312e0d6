"""The whole stack replays real candles. It serves what the files say, and raises the alerts that the rule says.

The expected values are computed here from the files, in plain loops and numpy, without the code of the tracker.
"""

import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.support.candle_files import FOLDER, candles
from tests.support.servers import wait_for
from tests.support.stack import Stack
from tracker.commands.start import FIRST_START, _environment
from tracker.models import Alert
from tracker.settings import load

DAY, MINUTE = 86_400, 60


@cache
def pairs() -> list[str]:
    found = sorted(path.name.removesuffix(".csv.gz") for path in FOLDER.glob("*.csv.gz"))
    assert found, f"no candle files in {FOLDER}: the tests that replay real candles need them there"
    return found


@cache
def first_minute() -> int:
    """The first minute of all files."""
    return min(min(candles(pair)) for pair in pairs())


def expected_series(pair: str, field: str, first: int, last: int) -> list[float | None]:
    """Values of the minutes ``first`` to ``last`` of the file. A gap has volume 0 and the price of the last trade."""
    file, values, price = candles(pair), [], None
    for minute in range(min(file), last + MINUTE, MINUTE):
        if minute in file:
            price = file[minute][0]
        if minute >= first:
            values.append(price if field == "price" else file.get(minute, (0.0, 0.0))[1])
    return [None] * ((last - first) // MINUTE + 1 - len(values)) + values


@cache
def expected_edges(pair: str, field: str) -> dict[int, float]:
    """Minute -> mean of the hour before it, for each minute in which a firing begins.

    It begins above 3 x that mean, and ends at or below 2 x the mean.
    """
    edges, firing = {}, False
    series = expected_series(pair, field, first_minute(), max(candles(pair)))
    for at in range(60, len(series)):
        hour = [value for value in series[at - 60 : at] if value is not None]
        if series[at] is None or len(hour) < 30 or sum(hour) <= 0:
            continue
        mean = sum(hour) / len(hour)
        if series[at] > 3 * mean:
            if not firing:
                edges[first_minute() + at * MINUTE] = mean
            firing = True
        elif series[at] <= 2 * mean:
            firing = False
    return edges


def expected_alerts(first: int, last: int) -> dict[tuple[str, int], float]:
    """(metric, minute) -> mean of the hour before it, for all markets; at most one an hour for a metric."""
    alerts = {}
    for pair in pairs():
        for field in ("price", "volume"):
            allowed = first
            for minute, mean in expected_edges(pair, field).items():
                if allowed <= minute <= last:
                    alerts[f"replay:{pair}:{field}", minute] = mean
                    allowed = minute + 60 * MINUTE
    return alerts


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


def busiest_start(minutes: int) -> tuple[int, dict[tuple[str, int], float]]:
    """The minute with the most alerts in the ``minutes`` after it, and these alerts.

    Minutes with an alert close to them are left out: whether that is still fresh depends on how fast the stack starts.
    """
    starts = range(first_minute() + 2 * DAY, first_minute() + 5 * DAY, 5 * MINUTE)
    quiet = [at for at in starts if not expected_alerts(at - 4 * MINUTE, at + 4 * MINUTE)]
    at = max(quiet, key=lambda at: len(expected_alerts(at, at + minutes * MINUTE)))
    return at, expected_alerts(at, at + minutes * MINUTE)
