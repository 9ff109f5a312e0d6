"""A rule is tried over the API before it is saved: the same numbers as from the backtest, and the same refusals."""

import numpy as np
import pytest
from flask.testing import FlaskClient

from api.v1 import rules as resource
from tests.support.answers import good, problem
from tests.support.tracked import SLOTS, Tracked
from tracker.alerts import lookback
from tracker.alerts.rules import Ratio

QUIET, BUSY = "kraken:ethusd", "kraken:btcusd"


@pytest.fixture
def client(tracked: Tracked) -> FlaskClient:
    """Two markets: one with three bursts, the second of them within the cooldown of the first."""
    volumes = np.full(len(SLOTS), 100.0)
    tracked.watch(QUIET, BUSY)
    tracked.put(QUIET, volumes)
    volumes[[500, 520, 900]] = 1_000
    tracked.put(BUSY, volumes)
    return tracked.client


def ask(client: FlaskClient, rule: dict[str, object], **more: object) -> dict:
    return good(client.post("/v1/rules/backtest", json={"rule": rule, **more}), resource.Backtest)


def test_it_says_when_the_rule_would_have_fired(client: FlaskClient) -> None:
    found = ask(client, {"kind": "ratio", "match": "*:volume", "factor": 4}, name="busy")
    assert (found["metrics"], found["above"], found["edges"], found["alerts"]) == (2, 3, 3, 2)
    assert (found["start"], found["step"]) == (SLOTS[0], 60)
    assert found["rule"] | {"name": "busy", "factor": 4, "cooldown": 3_600} == found["rule"]
    [row] = found["found"]
    assert (row["metric"], row["edges"], row["alerts"]) == (f"{BUSY}:volume", 3, 2)
    assert [alert["slot"] for alert in row["newest"]] == [SLOTS[500], SLOTS[900]]
    assert "1000 is 10.00 x its mean of 100" in row["newest"][0]["text"]


def test_it_looks_at_the_metrics_that_are_asked_for(client: FlaskClient) -> None:
    found = ask(client, {"kind": "ratio"}, metric=f"{QUIET}:volume")
    assert (found["metrics"], found["alerts"], found["found"]) == (1, 0, [])


def test_a_rule_that_compares_exchanges_sees_them_all(tracked: Tracked) -> None:
    for exchange in ("a", "b", "c"):
        tracked.put(f"{exchange}:btcusd", np.full(len(SLOTS), 5.0), price=100 + 5 * (exchange == "c"))
    tracked.watch("a:btcusd", "b:btcusd", "c:btcusd")
    found = ask(tracked.client, {"kind": "spread", "percent": 2}, metric="c:*")
    assert (found["metrics"], found["alerts"]) == (1, 1)
    assert ask(tracked.client, {"kind": "spread", "percent": 2}, metric="a:*")["alerts"] == 0


def test_it_says_what_the_numbers_do_not_show(client: FlaskClient) -> None:
    found = ask(client, {"kind": "spread", "percent": 2})
    assert found["levelless"] == found["metrics"] == 2
    assert "too few exchanges trade the pair" in found["note"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "ratio", "factor": -4}, "rule.factor: -4: expected a number above 0, up to 1e+06"),
        ({"kind": "ratio", "faktor": 4}, "rule.faktor: expected no such option, but one of match, cooldown"),
        ({"kind": "stairs"}, "rule.kind: 'stairs': expected one of ratio, change"),
        ({}, "rule.kind: (missing): expected one of ratio, change"),
        ({"kind": "all", "all": [{"field": "volume"}, {}]}, "rule.all[1].kind: (missing): expected one of ratio"),
        ({"kind": "rank", "top": 10}, "rule.kind: 'rank': a rank is by the 24 h before it"),
        ({"kind": "stale", "after": "5m"}, "rule.kind: 'stale': when a source answered is not stored"),
        ({"kind": "ratio", "match": "nowhere:*"}, "metric: '*': expected a glob that matches 1 to 10,000 metrics"),
    ],
)
def test_a_refusal_names_the_option_its_value_and_what_was_expected(
    client: FlaskClient, rule: dict[str, object], said: str
) -> None:
    assert said in problem(client.post("/v1/rules/backtest", json={"rule": rule}), 422)


def test_a_second_backtest_is_told_to_wait(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "PATIENCE", 0.01)
    with resource._one_at_a_time:
        answer = client.post("/v1/rules/backtest", json={"rule": {"kind": "ratio"}})
    assert "Another backtest is running" in problem(answer, 503) and answer.headers["Retry-After"]
    ask(client, {"kind": "ratio"})


def test_many_metrics_are_counted_as_one_is(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """More markets than are read at a time, and more than are shown."""
    monkeypatch.setattr(lookback, "CHUNK", 2)
    monkeypatch.setattr(lookback, "SHOWN", 3)
    random, ids = np.random.default_rng(1), [f"kraken:a{number}usd" for number in range(5)]
    tracked.watch(*ids)
    for id in ids:
        tracked.put(id, random.pareto(1.5, len(SLOTS)))
    rule, metrics = Ratio(), [f"{id}:volume" for id in ids]
    whole, *each = (
        lookback.look_back(tracked.store, ["simulator"], rule, some, tracked.now)
        for some in (metrics, *([metric] for metric in metrics))
    )
    for name in ("metrics", "above", "edges", "alerts"):
        assert getattr(whole, name) == sum(getattr(one, name) for one in each) > 0
    counts = sorted((len(one.shown[0].alerts) for one in each), reverse=True)
    assert [len(tally.alerts) for tally in whole.shown] == counts[:3]
    assert all(one.alerts == len(one.shown[0].alerts) for one in each)
