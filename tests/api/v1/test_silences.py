"""Silences over HTTP: made, listed with what they have held back, changed, ended."""

import time
from unittest import mock

import pytest
from flask.testing import FlaskClient

from api.v1 import alerts as resource
from api.v1 import silences
from tests.support.answers import ALERT, good, problem, record
from tracker.alerts import sender
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.channels.log import Channel as LogChannel
from tracker.alerts.outbox import Outbox
from tracker.alerts.quiet import Quiet, in_force
from tracker.alerts.silences import Silences

PHONE = {"phone": ConfiguredChannel(name="phone", kind="log", channel=LogChannel())}


def test_a_silence_is_made_listed_and_removed(client: FlaskClient, outbox: Outbox) -> None:
    until = time.time() + 3_600
    body = {"match": "kraken:*", "until": until, "reason": "listing day"}
    made = good(client.post("/v1/silences", json=body), silences.SilenceRow, 201)
    assert made | {"match": ["kraken:*"], "until": until, "reason": "listing day", "by": "", "held": 0} == made
    assert (made["rule"], made["severity"]) == (["*"], ["info", "warning", "critical"])
    assert good(client.get("/v1/silences"), silences.SilenceList) == {"silences": [made]}

    assert client.delete(f"/v1/silences/{made['id']}").status_code == 204
    assert good(client.get("/v1/silences"), silences.SilenceList) == {"silences": []}
    assert "/v1/silences" in problem(client.delete(f"/v1/silences/{made['id']}"), 404)


def test_a_silence_is_for_rules_and_severities_and_says_who_made_it(client: FlaskClient) -> None:
    body = {"rule": ["busy", "c*"], "severity": "info", "by": "kim", "reason": "too many", "for": "1h"}
    made = good(client.post("/v1/silences", json=body), silences.SilenceRow, 201)
    wanted = {"match": ["*"], "rule": ["busy", "c*"], "severity": ["info"], "by": "kim"}
    assert made | wanted == made


def test_a_silence_tells_what_it_has_held_back(client: FlaskClient, outbox: Outbox) -> None:
    body = {"match": "*", "for": "1h", "reason": "x"}
    made = good(client.post("/v1/silences", json=body), silences.SilenceRow, 201)
    alerts = [record(outbox, slot=ALERT.slot + minute * 60).id for minute in range(6)]
    for alert in alerts:
        sender.deliver(outbox, PHONE, f"{alert}/phone/firing")
    [listed] = good(client.get("/v1/silences"), silences.SilenceList)["silences"]
    assert (listed["id"], listed["held"]) == (made["id"], 6)
    assert [each["alert"] for each in listed["latest"]] == alerts[:0:-1]
    assert time.time() - 60 < listed["latest"][0]["at"] <= time.time()


def test_a_silence_lasts_longer_or_shorter_when_it_is_changed(client: FlaskClient, outbox: Outbox) -> None:
    body = {"match": "*", "for": "1h", "reason": "x", "by": "kim"}
    made = good(client.post("/v1/silences", json=body), silences.SilenceRow, 201)
    for end in ({"for": "2h"}, {"until": time.time() + 7_200}, {"for": 60}):
        before = time.time()
        changed = good(client.patch(f"/v1/silences/{made['id']}", json=end), silences.SilenceRow)
        until = end.get("until", before + {"2h": 7_200}.get(end.get("for"), 60))
        assert until <= changed["until"] < until + 5
        assert changed | {"until": made["until"]} == made
    assert good(client.get("/v1/silences"), silences.SilenceList) == {"silences": [changed]}
    assert "/v1/silences" in problem(client.patch("/v1/silences/none", json={"for": "1h"}), 404)


@pytest.mark.parametrize(
    ("end", "name"),
    [({}, "for"), ({"for": "1h", "until": time.time() + 9}, "for"), ({"for": "soon"}, "for"), ({"until": 5}, "until"),
     ({"until": 9e99}, "until"), ({"match": "*", "for": "1h"}, "match")],
)  # fmt: skip
def test_an_end_that_is_not_understood_is_refused(client: FlaskClient, end: dict, name: str) -> None:
    made = client.post("/v1/silences", json={"match": "*", "for": "1h", "reason": "x"}).json
    assert name in problem(client.patch(f"/v1/silences/{made['id']}", json=end), 422)
    assert client.get("/v1/silences").json == {"silences": [made]}


def test_quiet_hours_are_listed_and_are_changed_in_the_file_alone(client: FlaskClient, outbox: Outbox) -> None:
    night = Quiet.read({"from": "00:00", "to": "23:59", "zone": "UTC"}, lambda how, text: text, name="night")
    noon = time.time() // 86_400 * 86_400 + 43_200
    Silences(outbox.redis, lambda now: in_force([night], now)).tell(noon)
    with mock.patch("api.v1.silences.wall", lambda: noon):
        [listed] = good(client.get("/v1/silences"), silences.SilenceList)["silences"]
    assert (listed["until"], listed["by"]) == (noon + 43_140, "the rules file")
    assert listed["reason"] == "quiet hours night, 00:00 to 23:59 UTC"
    path = f"/v1/silences/{listed['id']}"
    for answer in (client.delete(path), client.patch(path, json={"for": 9})):
        assert "rules file" in problem(answer, 409)


@pytest.mark.parametrize(("lasts", "seconds"), [("1h", 3_600), ("90s", 90), (5, 5), ("366d", 366 * 86_400)])
def test_a_silence_lasts_for_a_time_of_the_wall_clock_also_in_a_replay(
    client: FlaskClient, outbox: Outbox, lasts: str | int, seconds: int
) -> None:
    before = time.time()  # years after the tracker's clock, which stands still
    made = good(client.post("/v1/silences", json={"match": "*", "for": lasts, "reason": "x"}), silences.SilenceRow, 201)
    assert before + seconds <= made["until"] <= time.time() + seconds

    row = f"{record(outbox).id}/phone/firing"
    sender.deliver(outbox, PHONE, row)

    [delivery] = good(client.get(f"/v1/alerts/{ALERT.id}"), resource.ExplainedAlert)["deliveries"]
    assert (delivery["state"], delivery["next_try"]) == ("silenced", None)


@pytest.mark.parametrize("times", [{}, {"for": "1h", "until": time.time() + 9_999}, {"for": None}, {"until": None}])
def test_a_silence_has_either_a_duration_or_an_end(client: FlaskClient, times: dict) -> None:
    assert "for" in problem(client.post("/v1/silences", json={"match": "*", "reason": "x"} | times), 422)


@pytest.mark.parametrize("lasts", [0, -1, True, 1.5, "", "soon", "1w", "367d", "999999d", [], "1 h"])
def test_a_duration_that_is_not_understood_is_refused(client: FlaskClient, lasts: object) -> None:
    body = {"match": "*", "reason": "x", "for": lasts}
    assert "for" in problem(client.post("/v1/silences", json=body), 422)
    assert client.get("/v1/silences").json == {"silences": []}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"match": []}, "match"),
        ({"match": ""}, "match"),
        ({"match": [1]}, "match"),
        ({"match": None}, "match"),
        ({"until": 5}, "until"),
        ({"until": 9e99}, "until"),
        ({"until": "soon"}, "until"),
        ({"match": ["x"] * 51}, "match"),
        ({"match": "x" * 201}, "match"),
        ({"rule": []}, "rule"),
        ({"rule": ["x"] * 51}, "rule"),
        ({"severity": "bad"}, "severity"),
        ({"severity": []}, "severity"),
        ({"by": "x" * 101}, "by"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"until_when": 5}, "until_when"),
    ],
)
def test_a_silence_that_is_not_understood_is_refused(client: FlaskClient, changes: dict, name: str) -> None:
    body = {"match": "*", "until": time.time() + 60, "reason": "x"} | changes
    told = problem(client.post("/v1/silences", json=body), 422)
    assert name in told and "Value error" not in told


def test_a_silence_of_all_alerts_says_so(client: FlaskClient) -> None:
    assert "match" in problem(client.post("/v1/silences", json={"for": "1h", "reason": "x"}), 422)


def test_there_are_only_so_many_silences(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.alerts.silences.MOST", 2)
    body = {"match": "*", "until": time.time() + 60, "reason": "x"}
    answers = [client.post("/v1/silences", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers[:2]] == [201, 201]
    assert "already" in problem(answers[2], 409)
