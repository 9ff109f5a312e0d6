"""The picture of an alert: what it shows, and notices whose picture cannot be drawn."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.sending import ALERT
from tests.support.servers import StoreServer
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.alerts import drawing, picture
from tracker.models import Alert

PLOT: dict[str, Any] = {
    "title": "busy: kraken:btcusd:volume", "unit": "volume in btc a minute", "bars": True, "first": 1_700_000_040,
    "step": 60, "values": [1.0, None, 0.0, 9.0], "slot": 1_700_000_220, "value": 9.0,
    "told": "9",
    "lines": [{"kind": "limit", "value": 3.0, "name": "limit: 3 x = 3"}],
}  # fmt: skip


@pytest.fixture
def tracked(store_server: StoreServer) -> Tracked:
    tracked = Tracked(store_server.url)
    volumes = np.full(len(SLOTS), 100.5)
    volumes[-1] = 301.5
    tracked.watch("kraken:btcusd")
    tracked.put("kraken:btcusd", volumes, price=64_000)
    return tracked


def colors(png: bytes) -> set[str]:
    image = Image.open(io.BytesIO(png))
    assert image.size == (drawing.WIDTH, drawing.HEIGHT)
    return {f"#{red:02x}{green:02x}{blue:02x}" for _, (red, green, blue) in image.getcolors(1 << 20)}  # type: ignore


def drawn(tracked: Tracked, alert: Alert = ALERT) -> bytes:
    return picture.drawn(tracked.store, ("simulator",), alert, NOW)


def test_a_picture_has_the_series_the_limit_the_baseline_and_the_edge(tracked: Tracked) -> None:
    shown = colors(drawn(tracked))
    assert {drawing.SERIES, drawing.LIMIT, drawing.BASELINE, drawing.EDGE} <= shown


def test_a_kind_without_a_limit_of_the_values_has_no_line_for_it(tracked: Tracked) -> None:
    assert drawing.LIMIT not in colors(drawn(tracked, replace(ALERT, kind="zscore")))


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"kind": "ratio"}, ("limit: 3 x = 301.5", 301.5)),
        ({"kind": "change", "value": 90.0}, ("limit: -3 % = 97.485", 97.485)),
        ({"kind": "spread", "value": 110.0}, ("limit: +3 % = 103.515", 103.515)),
        ({"kind": "threshold", "factor": 200.0}, ("limit: 200", 200)),
    ],
)
def test_the_limit_is_named_with_its_value(changes: dict[str, Any], limit: tuple[str, float]) -> None:
    [line] = [line for line in picture._lines(replace(ALERT, **changes)) if line["kind"] == "limit"]
    assert (line["name"], line["value"]) == (limit[0], pytest.approx(limit[1]))


@pytest.mark.parametrize("changes", [{"kind": "rank"}, {"metric": "source:x"}, {"metric": "x:y:price"}, {"slot": 60}])
def test_an_alert_about_no_series_has_no_picture(tracked: Tracked, changes: dict[str, Any]) -> None:
    assert drawn(tracked, replace(ALERT, **changes)) == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"values": [5.0] * 120, "value": 5.0, "bars": False, "lines": []},
        {"values": [None] * 120, "bars": False},
        {"values": [0.0] * 120, "value": 0.0, "lines": []},
        {"values": [1e-9, 1.001e-9], "value": 1e-9, "bars": False, "lines": []},
        {"values": [3e12, 9e12], "value": 9e12},
        {"title": "x" * 300, "values": [1.0] * 1_440},
    ],
)
def test_every_series_can_be_drawn(changes: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(picture.CHILD)], input=json.dumps(PLOT | changes).encode(), capture_output=True
    )
    assert colors(done.stdout), done.stderr


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (63_999.0, 64_001.0), (1e-9, 1.1e-9), (0.0, 9e12)])
def test_an_axis_has_few_round_numbers_that_differ(low: float, high: float) -> None:
    found = drawing.ticks(low, high)
    named = [drawing.number(value, found[1] - found[0]) for value in found]
    assert found[0] <= low and found[-1] >= high and len(found) <= 7
    assert len(set(named)) == len(named) and max(map(len, named)) <= 10
