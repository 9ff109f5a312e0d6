"""Alerts over HTTP: list, explanation, deliveries, acknowledgement and redrive."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.v1 import alerts as resource
from api.v1 import deliveries
from tests.support.answers import ALERT, good, problem, record
from tests.support.servers import free_port
from tests.support.tracked import Tracked
from tracker.alerts.outbox import Outbox
from tracker.models import Attempt
from tracker.settings import load
from tracker.store.connection import connect


def test_alerts_are_listed_newest_first_with_the_numbers_that_explain_them(client: FlaskClient, outbox: Outbox) -> None:
    record(outbox)
    record(outbox, metric="kraken:ethusd:price", value=5.0)

    listed = good(client.get("/v1/alerts"), resource.Alerts)

    assert [alert["metric"] for alert in listed["alerts"]] == ["kraken:ethusd:price", "kraken:btcusd:volume"]
    assert listed["next"] is None
    first, second = (alert.pop("recorded_at") for alert in listed["alerts"])
    assert time.time() + 1 > first >= second > time.time() - 60
    assert listed["alerts"][1] == {
        "id": "jump:kraken:btcusd:volume:1700000040", "rule": "jump", "kind": "ratio", "metric": "kraken:btcusd:volume",
        "slot": 1_700_000_040, "value": 301.5, "baseline": 100.5, "factor": 3.0, "samples": 60, "window": 3_600,
        "at": 1_700_000_071.25, "severity": "warning", "state": "firing", "resolved_at": None, "acknowledged": None,
        "late": False, "text": "it jumped", "details": None,
    }  # fmt: skip


def pages(client: FlaskClient, query: str) -> Iterator[dict]:
    following = ""
    while following is not None:
        page = good(client.get(f"/v1/alerts?{query}{following and f'&cursor={following}'}"), resource.Alerts)
        yield page
        following = page["next"]


def test_the_list_is_in_the_order_of_recording_while_two_workers_record(
    client: FlaskClient, outbox: Outbox, tracked: Tracked
) -> None:
    """The workers' clocks differ by minutes. The pages never lose an alert or show it twice, whenever they are read."""
    record(outbox, rule="first", at=time.time() + 500)
    barrier, recorded = threading.Barrier(3), defaultdict[str, list[str]](list)

    def work(name: str, ahead: float) -> None:
        with connect(tracked.url) as redis:
            mine = Outbox(redis)
            barrier.wait(30)
            for number in range(60):
                alert = replace(ALERT, rule=name, metric=f"kraken:m{number}:volume", at=time.time() + ahead)
                mine.record(alert, 60)
                recorded[name].append(alert.id)

    workers = [threading.Thread(target=work, args=each) for each in (("slow", -200.0), ("fast", 0.0))]
    for each in workers:
        each.start()
    barrier.wait(30)
    while any(each.is_alive() for each in workers):
        known = set(recorded["slow"] + recorded["fast"])
        listed = [alert["id"] for page in pages(client, "limit=7") for alert in page["alerts"]]
        assert len(listed) == len(set(listed)) and known <= set(listed)
    for each in workers:
        each.join()

    read = list(pages(client, "limit=7"))
    alerts = [alert for page in read for alert in page["alerts"]]
    assert alerts[-1]["rule"] == "first" and alerts[-1]["at"] > alerts[0]["at"]  # not in the order of `at`
    assert sorted(alert["id"] for alert in alerts[:-1]) == sorted(recorded["slow"] + recorded["fast"])
    for name in ("slow", "fast"):
        assert [alert["id"] for alert in alerts if alert["rule"] == name] == recorded[name][::-1]
    times = [alert["recorded_at"] for alert in alerts]
    assert times == sorted(times, reverse=True)
    for page in read[:-1]:  # the cursor is the place of the page's last alert
        assert int(page["next"].partition("-")[0]) / 1_000 == page["alerts"][-1]["recorded_at"]


@pytest.mark.parametrize("limit", [1, 3, 7, 20])
def test_pages_yield_each_alert_once(client: FlaskClient, outbox: Outbox, limit: int) -> None:
    made = [record(outbox, slot=ALERT.slot + 60 * number).id for number in range(7)]
    listed = [alert["id"] for page in pages(client, f"limit={limit}") for alert in page["alerts"]]
    assert listed == made[::-1]


def test_a_rare_alert_is_found_page_by_page(
    client: FlaskClient, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "LOOKED_AT", 3)
    rare = record(outbox, rule="rare")
    for number in range(1, 9):
        record(outbox, slot=ALERT.slot + 60 * number)
    found = list(pages(client, "rule=rare"))
    assert [alert["id"] for page in found for alert in page["alerts"]] == [rare.id]
    assert len(found) > 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("metric=kraken:btcusd:volume", [0]),
        ("market=kraken:btcusd", [1, 0]),
        ("market=kraken:btc", []),
        ("rule=drop", [1]),
        ("severity=critical", [2]),
        ("state=resolved", [2]),
        ("state=firing", [3, 1, 0]),
        ("since=200", [3, 2]),
        ("until=200", [1, 0]),
        ("since=100&until=300&state=firing", [1]),
        ("metric=source:simulator", [3]),
        ("late=true", [1]),
        ("late=false&state=firing", [3, 0]),
    ],
)
def test_filters_narrow_the_list(client: FlaskClient, outbox: Outbox, query: str, found: list[int]) -> None:
    made = [
        record(outbox, at=0.0),
        record(outbox, rule="drop", metric="kraken:btcusd:price", at=100.0, late=True),
        record(outbox, metric="kraken:ethusd:price", severity="critical", at=200.0),
        record(outbox, rule="silent", metric="source:simulator", baseline=float("nan"), at=300.0),
    ]
    outbox.resolve(made[2].id, 250.0)
    listed = good(client.get(f"/v1/alerts?{query}"), resource.Alerts)["alerts"]
    assert [alert["id"] for alert in listed] == [made[number].id for number in found]


@pytest.mark.parametrize(
    "query", ["state=on", "severity=bad", "limit=0", "limit=1001", "cursor=x", "since=soon", "foo=1", "cursor=1-"]
)
def test_a_query_that_is_not_understood_is_refused(client: FlaskClient, query: str) -> None:
    assert query.partition("=")[0] in problem(client.get(f"/v1/alerts?{query}"), 422)


def test_an_alert_says_why_it_fired_and_who_was_told(client: FlaskClient, outbox: Outbox) -> None:
    alert = record(outbox)
    row, token = outbox.deliveries.claim(f"{alert.id}/phone/firing", 0) or pytest.fail("not claimed")
    outbox.deliveries.fail(row, token, Attempt(1.0, False, 500, "answered 500"), 0)
    outbox.deliveries.settle(row, "delivered", Attempt(2.0, True, None, "answered 200"))

    found = good(client.get(f"/v1/alerts/{alert.id}"), resource.ExplainedAlert)

    assert found["definition"] | {"kind": "ratio", "factor": 3.0, "clear_factor": 2.0} == found["definition"]
    [delivery] = found["deliveries"]
    assert (delivery["channel"], delivery["event"], delivery["state"]) == ("phone", "firing", "delivered")
    assert delivery["attempts"] == [
        {"at": 1.0, "ok": False, "status": 500, "detail": "answered 500"},
        {"at": 2.0, "ok": True, "status": None, "detail": "answered 200"},
    ]


@pytest.mark.parametrize("id", ["no:such:alert:price:1", "%00", "a" * 3_000, "..", "a:b"])
def test_an_unknown_alert_says_where_the_list_is(client: FlaskClient, id: str) -> None:
    assert "/v1/alerts" in problem(client.get(f"/v1/alerts/{id}"), 404)
    assert "/v1/alerts" in problem(client.post(f"/v1/alerts/{id}/acknowledge", json={"by": "kim"}), 404)
    assert "/v1/alerts" in problem(client.delete(f"/v1/alerts/{id}/acknowledge"), 404)


def test_who_takes_an_alert_on_is_shown(client: FlaskClient, outbox: Outbox) -> None:
    alert = record(outbox)
    before = time.time()
    answer = client.post(f"/v1/alerts/{alert.id}/acknowledge", json={"by": "kim", "comment": "looking"})
    noted = good(answer, resource.AlertRow)["acknowledged"]
    assert (noted["by"], noted["comment"]) == ("kim", "looking") and before <= noted["at"] <= time.time()
    assert good(client.get(f"/v1/alerts/{alert.id}"), resource.ExplainedAlert)["acknowledged"] == noted
    for _ in range(2):
        answer = client.delete(f"/v1/alerts/{alert.id}/acknowledge")
        assert good(answer, resource.AlertRow)["acknowledged"] is None


@pytest.mark.parametrize(("name", "longest"), [("by", 100), ("comment", 1_000)])
def test_an_acknowledgement_is_of_bounded_length(client: FlaskClient, outbox: Outbox, name: str, longest: int) -> None:
    alert = record(outbox)
    body = {"by": "kim", name: "x" * (longest + 1)}
    assert name in problem(client.post(f"/v1/alerts/{alert.id}/acknowledge", json=body), 422)
    assert client.post(f"/v1/alerts/{alert.id}/acknowledge", json=body | {name: "x" * longest}).status_code == 200


def dead(outbox: Outbox, **changes: Any) -> str:
    row = outbox.deliveries.get(f"{record(outbox, **changes).id}/phone/firing")
    assert row
    outbox.deliveries.settle(row, "dead", Attempt(1.0, False, 404, "answered 404"))
    return row.id


def test_dead_letters_are_listed_and_redriven(client: FlaskClient, outbox: Outbox) -> None:
    ids = [dead(outbox, slot=ALERT.slot + minute * 60) for minute in range(3)]
    listed = good(client.get("/v1/deliveries?state=dead"), deliveries.DeliveryList)["deliveries"]
    assert sorted(row["id"] for row in listed) == sorted(ids)
    assert listed[0]["attempts"][0]["detail"] == "answered 404"

    bodies = [{"ids": ids[:1]}, {"channel": "mail"}, {"ids": ids, "channel": "mail"}, {"channel": "phone"}, {}]
    for body, redriven in zip(bodies, (ids[:1], [], [], ids[:0:-1], []), strict=True):
        answer = client.post("/v1/deliveries/redrive", json=body)
        assert good(answer, deliveries.Redriven) == {"redriven": redriven}
    assert good(client.get("/v1/deliveries"), deliveries.DeliveryList) == {"deliveries": []}
    pending = good(client.get("/v1/deliveries?state=pending"), deliveries.DeliveryList)["deliveries"]
    assert sorted(row["id"] for row in pending) == sorted(ids) == sorted(outbox.deliveries.due(10))


@pytest.mark.parametrize("ids", [["no/such/row"], ["x"], [""], ["a/b/c/d"], ["\0"]])
def test_redriving_what_there_is_not_does_nothing(client: FlaskClient, ids: list[str]) -> None:
    assert good(client.post("/v1/deliveries/redrive", json={"ids": ids}), deliveries.Redriven) == {"redriven": []}


@pytest.mark.parametrize("path", ["silences", "deliveries/redrive", "alerts/a:b/acknowledge"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b"\xff", b'"x"', b"null", b""])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, path: str, body: bytes) -> None:
    answer = client.post(f"/v1/{path}", data=body, content_type="application/json")
    assert answer.status_code in (400, 422), answer.text
    assert answer.content_type == "application/problem+json"


def test_a_store_that_is_away_is_said(store_server: object) -> None:
    settings = load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    client = create_app(settings).test_client()
    for path in ("alerts", "alerts/a:b:c:d:1", "silences", "deliveries"):
        assert "store" in problem(client.get(f"/v1/{path}"), 503)
