"""What alerts of the kinds with details tell in the API fits its schema, also where a number is missing."""

from typing import Any

import numpy as np

from api.v1.alerts import ExplainedAlert
from tests.support.tracked import Tracked
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import (
    All,
    Condition,
    LevelRule,
    Ranked,
    Series,
    Silent,
    Spread,
    Threshold,
    firings,
    of_markets,
)
from tracker.models import Alert


def told(tracked: Tracked, rule: LevelRule, series: Series) -> Any:
    """The API's answer about the alert of ``rule`` on ``series``."""
    [(_, edge)] = firings(series, [rule])
    alert = edge.alert(rule, series.metrics[edge.row], 1_700_000_040, 1_700_000_071.0)
    return recorded(tracked, alert, rule.definition())


def recorded(tracked: Tracked, alert: Alert, definition: dict[str, Any] | None = None) -> Any:
    """The API's answer about ``alert``, which fits the schema."""
    Outbox(tracked.store.redis).record(alert, 60, (), definition)
    answer = tracked.client.get(f"/v1/alerts/{alert.id}")
    assert ExplainedAlert.model_validate_json(answer.data, strict=True).model_dump() == answer.json
    return answer.json


def test_conditions_are_told_each_with_its_numbers(tracked: Tracked) -> None:
    both = np.full((2, 1_441), np.nan)
    both[:, -1] = [5, 100]
    dear, busy = Condition("price", Threshold(above=3)), Condition("volume", Threshold(above=99))
    rule = All(name="dear", all=(dear, busy))
    answer = told(tracked, rule, of_markets(["kraken:btcusd"], both, 60, rule.field))
    first, second = answer["details"]["conditions"]
    assert (first["field"], first["value"], first["baseline"], first["factor"]) == ("price", 5, None, 3)
    assert (second["field"], second["value"], second["samples"], second["window"]) == ("volume", 100, 0, 3_600)
    assert answer["definition"]["all"][1]["above"] == 99


def test_a_price_is_told_with_the_median_of_the_exchanges(tracked: Tracked) -> None:
    median = np.array([[104.0] * 7 + [100.0] * 2])
    beside = {"volume": np.ones((1, 9)), "median": median, "exchanges": np.full((1, 9), 3.0)}
    series = Series(np.full((1, 9), 104.0), 60, ["kraken:btcusd:price"], beside)
    answer = told(tracked, Spread(name="off", percent=3), series)
    assert answer["details"]["median"] == 100 and answer["details"]["exchanges"] == 3
    assert round(answer["details"]["percent"], 9) == 4
    assert (answer["samples"], answer["window"]) == (3, 0)


def test_a_silence_is_told_with_its_cause(tracked: Tracked) -> None:
    volumes = np.array([[5.0] * 40 + [0.0] * 7])
    trades = told(tracked, Silent(name="quiet", after=300), Series(volumes, 60, ["kraken:btcusd:volume"]))
    assert trades["details"] == {"cause": "no trades"}
    unanswered = Silent(name="quiet", after=300).alert("kraken:btcusd", 1_700_000_100.0, 60, 1_700_000_450.0)
    answer = recorded(tracked, unanswered)
    assert (answer["details"], answer["baseline"]) == ({"cause": "no answer"}, None)


def test_a_rank_is_told_with_its_position(tracked: Tracked) -> None:
    alert = Ranked(name="wild", top=10).alert("kraken:btcusd:volume", 7, 120, 1_700_000_040, 1_700_000_071.0)
    answer = recorded(tracked, alert)
    assert answer["details"] == {"position": 7, "of": 120, "by": "stddev"}
    assert (answer["value"], answer["factor"], answer["samples"], answer["baseline"]) == (7, 10, 120, None)
