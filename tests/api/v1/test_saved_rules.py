"""Rules are made, changed, deleted and restored over the API."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.v1 import saved_rules as resource
from api.v1.rules import RuleList, RuleRow
from tests.support.answers import good, problem
from tests.support.tracked import Tracked
from tracker.alerts.saved_rules import LONGEST

FILE = '[channels.hook]\nkind = "webhook"\nurl = "https://hooks.example/T0K3N"\n[rules.jump]\nkind = "ratio"\n'


@pytest.fixture
def client(tracked: Tracked, tmp_path: Any) -> FlaskClient:
    (tmp_path / "rules.toml").write_text(FILE)
    return create_app(replace(tracked.settings, rules=str(tmp_path / "rules.toml"))).test_client()


def make(client: FlaskClient, name: str = "busy", **options: Any) -> dict[str, Any]:
    rule = {"kind": "ratio", **options}
    return good(client.post("/v1/rules", json={"name": name, "by": "kim", "rule": rule}), RuleRow, 201)


def test_a_rule_is_made_changed_deleted_and_restored(client: FlaskClient) -> None:
    made = make(client, factor=4, channels=["hook"])
    assert (made["origin"], made["locked"], made["by"]) == ("saved", False, "kim")
    body = {"rule": {"kind": "ratio", "factor": 5}, "by": "lee", "version": made["version"]}
    changed = good(client.put("/v1/rules/busy", json=body), RuleRow)
    assert (changed["rule"], changed["channels"]) == ({"kind": "ratio", "factor": 5}, ["log"])
    listed = good(client.get("/v1/rules"), RuleList)["rules"]
    assert [(row["name"], row["locked"]) for row in listed] == [("jump", True), ("busy", False)]
    assert listed[1] == changed
    assert '[rules.busy]\nkind = "ratio"\nfactor = 5' in client.get("/v1/rules.toml").text

    gone = client.delete(f"/v1/rules/busy?by=kim&version={changed['version']}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert len(good(client.get("/v1/rules"), RuleList)["rules"]) == 1
    problem(client.put("/v1/rules/busy", json=body), 404)
    versions = good(client.get("/v1/rules/busy/versions"), resource.Versions)["versions"]
    assert [(each["by"], each["rule"] and each["rule"]["factor"]) for each in versions] == [
        ("kim", None), ("lee", 5), ("kim", 4)
    ]  # fmt: skip

    again = {"restore": made["version"], "by": "lee", "version": 0}
    restored = good(client.post("/v1/rules/busy/restore", json=again), RuleRow)
    assert restored["rule"] == made["rule"] and restored["version"] > changed["version"]
    said = problem(client.post("/v1/rules/busy/restore", json=again | {"restore": 999}), 422)
    assert f"restore: 999: expected one of {restored['version']}, {changed['version']}, {made['version']}" in said


def test_a_rule_of_the_file_is_locked(client: FlaskClient) -> None:
    rule = {"rule": {"kind": "ratio"}, "by": "kim"}
    made = client.post("/v1/rules", json=rule | {"name": "jump"})
    changed = client.put("/v1/rules/jump", json=rule | {"version": 0})
    deleted = client.delete("/v1/rules/jump?by=kim&version=0")
    for answer in (made, changed, deleted):
        assert "jump is a rule of the file: change it there" in problem(answer, 409)


def test_of_two_people_who_change_a_rule_the_second_must_read_again(client: FlaskClient) -> None:
    made = make(client)
    body = {"rule": {"kind": "zscore"}, "by": "lee", "version": made["version"]}
    changed = good(client.put("/v1/rules/busy", json=body), RuleRow)
    said = problem(client.put("/v1/rules/busy", json=body | {"by": "kim"}), 409)
    assert f"The rule busy is at version {changed['version']}, not at {made['version']}. Read it again" in said
    problem(client.delete(f"/v1/rules/busy?by=kim&version={made['version']}"), 409)
    assert "The rule busy is at version" in problem(
        client.post("/v1/rules", json={"name": "busy", "by": "kim", "rule": {"kind": "ratio"}}), 409
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "ratio", "factor": 0}, "rule.factor: 0: expected a number above 0, up to 1e+06"),
        ({"kind": "ratio", "channels": ["fax"]}, "rule.channels: 'fax': expected only channels that there are: log,"),
        ({"kind": "ratio", "then": ["fax"]}, "rule.then: 'fax': expected only channels that there are: log, hook"),
        ({"kind": "ratio", "match": ["x" * 199] * 200}, f"rule: expected at most {LONGEST:,} characters of JSON"),
    ],
)  # fmt: skip
def test_a_rule_is_checked_as_in_the_file(client: FlaskClient, rule: dict[str, Any], said: str) -> None:
    answer = client.post("/v1/rules", json={"name": "busy", "by": "kim", "rule": rule})
    assert said in problem(answer, 422)
    assert len(good(client.get("/v1/rules"), RuleList)["rules"]) == 1


def test_a_rule_that_never_was_has_no_versions(client: FlaskClient) -> None:
    assert "There is no saved rule nowhere" in problem(client.get("/v1/rules/nowhere/versions"), 404)
    problem(client.post("/v1/rules/nowhere/restore", json={"restore": 1, "by": "kim", "version": 0}), 404)


def test_no_rule_has_the_name_of_another_path(client: FlaskClient) -> None:
    made = client.post("/v1/rules", json={"name": "backtest", "by": "kim", "rule": {"kind": "ratio"}})
    assert "name: 'backtest': expected another name" in problem(made, 422)
    assert client.options("/v1/rules/backtest").allow.as_set() == {"post", "options"}
