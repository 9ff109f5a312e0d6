"""How Grafana reads the API: each URL and column of docs/monitoring.md, asked of the API."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.alerts.outbox import Outbox
from tracker.models import Alert

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
#: (what it shows, type, URL, root selector, columns) of each query.
QUERIES = re.findall(r"^\| (.+) \| (JSON|CSV) \| `(.+)` \| `?(\w*)`? ?\| (.+) \|$", PAGE, re.MULTILINE)
MARKETS = ["kraken:btcusd", "kraken:ethusd"]


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    tracked.fill(MARKETS)
    slot = int(SLOTS[-2])
    alert = Alert("jump", "kraken:btcusd:volume", slot, 302.0, 100.0, 3.0, 60, 3_600, NOW, text="it jumped")
    assert Outbox(tracked.store.redis).record(alert, 60)
    return tracked


def rows(tracked: Tracked, kind: str, url: str, root: str) -> list[dict[str, Any]]:
    """What Infinity makes of the answer: a list of rows."""
    asked = url.replace("${__from:date:seconds}", str(int(NOW) - 3_600))
    headers = {"Accept": "text/csv"} if kind == "CSV" else {}
    answer = tracked.client.get(asked, headers=headers)
    assert answer.status_code == 200, answer.text
    if kind == "CSV":
        return [
            {name: float(text) for name, text in row.items() if text}
            for row in csv.DictReader(io.StringIO(answer.text))
        ]
    found: list[dict[str, Any]] = answer.json[root]
    return found


def test_all_queries_are_found() -> None:
    assert len(QUERIES) == 6 and [query[1] for query in QUERIES].count("CSV") == 1


@pytest.mark.parametrize(
    ("kind", "url", "root", "columns"), [query[1:] for query in QUERIES], ids=[each[0] for each in QUERIES]
)
def test_a_query_gives_rows_with_every_column(filled: Tracked, kind: str, url: str, root: str, columns: str) -> None:
    found = rows(filled, kind, url, root)
    assert found
    named = re.findall(r"`([\w.]+)` (String|Number|Time \(UNIX s\))(?:, |$)", columns)
    assert len(named) == columns.count("`") / 2
    for row in found:
        for selector, type in named:
            value: Any = row
            for name in selector.split("."):
                value = value[name]
            assert isinstance(value, str if type == "String" else int | float), (selector, value)
            if type.startswith("Time"):
                assert NOW - 86_400 <= value <= NOW
