"""Answers of the API about alerts, compared with their schemas, and an alert to ask for."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from werkzeug.test import TestResponse

from api.v1 import schemas
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import Ratio
from tracker.models import Alert

ALERT = Alert(
    "jump", "kraken:btcusd:volume", 1_700_000_040, 301.5, 100.5, 3.0, 60, 3_600, 1_700_000_071.25, text="it jumped"
)


def good(answer: TestResponse, schema: type[BaseModel], status: int = 200) -> Any:
    """The body of an answer, which must fit the schema and have this status."""
    assert answer.status_code == status, answer.text
    assert schema.model_validate_json(answer.data, strict=True).model_dump() == answer.json
    return answer.json


def problem(answer: TestResponse, status: int) -> str:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    return schemas.Problem.model_validate_json(answer.data).detail


def record(outbox: Outbox, **changes: Any) -> Alert:
    alert = replace(ALERT, **changes)
    assert outbox.record(alert, 60, ["phone"], Ratio(name=alert.rule).definition())
    return alert
