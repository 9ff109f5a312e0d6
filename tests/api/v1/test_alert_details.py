"""What alerts of the kinds with details tell in the API fits its schema, also where a number is missing."""

from typing import Any

import numpy as np

from api.v1.alerts import ExplainedAlert
from tests.support.tracked import Tracked
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import All, Condition, LevelRule, Threshold, firings, of_markets


def told(tracked: Tracked, rule: LevelRule, both: np.ndarray) -> Any:
    """The API's answer about the alert of ``rule`` on windows ``both`` (fields, rows) of a market."""
    series = of_markets(["kraken:btcusd"], both, 60, rule.field)
    [(_, edge)] = firings(series, [rule])
    alert = edge.alert(rule, series.metrics[edge.row], 1_700_000_040, 1_700_000_071.0)
    Outbox(tracked.store.redis).record(alert, 60, (), rule.definition())
    answer = tracked.client.get(f"/v1/alerts/{alert.id}")
    assert ExplainedAlert.model_validate_json(answer.data, strict=True).model_dump() == answer.json
    return answer.json


def test_conditions_are_told_each_with_its_numbers(tracked: Tracked) -> None:
    both = np.full((2, 1_441), np.nan)
    both[:, -1] = [5, 100]
    dear, busy = Condition("price", Threshold(above=3)), Condition("volume", Threshold(above=99))
    answer = told(tracked, All(name="dear", all=(dear, busy)), both)
    first, second = answer["details"]["conditions"]
    assert (first["field"], first["value"], first["baseline"], first["factor"]) == ("price", 5, None, 3)
    assert (second["field"], second["value"], second["samples"], second["window"]) == ("volume", 100, 0, 3_600)
    assert answer["definition"]["all"][1]["above"] == 99
