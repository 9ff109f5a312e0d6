"""Rules over the API: which are in force, and the same as TOML."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.v1 import rules as resource
from tests.support.answers import good, problem
from tests.support.tracked import Tracked
from tracker.alerts.rulebook import read, read_rule

FILE = r"""
[channels.hook]
kind = "webhook"
url = "https://hooks.example/T0K3N"

[rules.jump]
kind = "ratio"
match = ["*:volume", "kraken:*"]
factor = 4.5
baseline = "30m"
for = "2m"
channels = ["log"]
then = ["hook"]
message = "a \"quoted\"\ttext \\ {metric} \u007f \u20ac"

[rules.cheap]
kind = "threshold"
below = -1e-7

[rules.both]
kind = "all"
channels = []
all = [
  { field = "volume", kind = "ratio", factor = 3 },
  { field = "price", kind = "change", percent = 2, over = "5m", direction = "up" },
]

[rules.wild]
kind = "rank"
match = "*:price"
top = 10
by = "cv"

[rules.gone]
kind = "stale"
after = "10m"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def client(tracked: Tracked, file: Path) -> FlaskClient:
    return create_app(replace(tracked.settings, rules=str(file))).test_client()


def test_the_rules_of_the_file_are_listed_and_locked(client: FlaskClient) -> None:
    rows = good(client.get("/v1/rules"), resource.RuleList)["rules"]
    assert [row["name"] for row in rows] == ["jump", "cheap", "both", "wild", "gone"]
    assert {(row["origin"], row["locked"]) for row in rows} == {("file", True)}
    jump = rows[0]
    assert (jump["kind"], jump["match"], jump["channels"]) == ("ratio", ["*:volume", "kraken:*"], ["log"])
    assert (jump["rule"]["for"], jump["rule"]["baseline"], "cooldown" in jump["rule"]) == (120, 1_800, False)
    assert jump["definition"]["cooldown"] == 3_600


def test_without_a_file_the_missions_rule_is_listed(tracked: Tracked) -> None:
    [row] = good(tracked.client.get("/v1/rules"), resource.RuleList)["rules"]
    assert (row["name"], row["origin"], row["rule"]) == ("above-3x-1h-mean", "built-in", {"kind": "ratio"})


def test_the_export_makes_the_same_rules(client: FlaskClient, file: Path) -> None:
    answer = client.get("/v1/rules.toml")
    assert (answer.status_code, answer.mimetype) == (200, "application/toml")
    tables = tomllib.loads(answer.text)["rules"]
    assert tuple(read_rule(name, table) for name, table in tables.items()) == read(file).rules
    assert "T0K3N" not in answer.text


def test_a_file_that_cannot_be_used_is_for_the_log(client: FlaskClient, file: Path) -> None:
    file.write_text("[rules.a]\nkind = 'S3CRET'\n")
    said = problem(client.get("/v1/rules"), 503)
    assert "Its log says why" in said and "S3CRET" not in said
