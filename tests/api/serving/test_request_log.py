"""Each request has an id. The log has those that failed, and neither queries nor line breaks of theirs."""

import logging

import pytest

from api import create_app
from tests.support.tracked import Tracked


def test_an_answer_has_the_id_that_the_client_gave_or_one_of_its_own(filled: Tracked) -> None:
    def id(given: str) -> str:
        return filled.client.get("/v1/metrics", headers={"X-Request-Id": given}).headers["X-Request-Id"]

    assert id("a-Good_one.1") == "a-Good_one.1"
    for bad in ("", "two words", "x" * 65, "a=1", "\u00fc"):
        assert len(id(bad)) == 16
    assert id("") != id("")


def test_what_failed_is_logged_with_its_id(filled: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api"):
        filled.client.get("/v1/metrics")
        answer = filled.client.get("/v1/a%0Ab%20ms=1?token=hunter2", headers={"X-Request-Id": "mine"})
        refused = filled.client.get("/v1/metrics?x=" + "y" * 10_000)
    assert answer.json["request_id"] == "mine"
    assert refused.json["request_id"] == refused.headers["X-Request-Id"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "404 GET /v1/a%0Ab%20ms%3D1"),
        ("INFO", "414 GET /v1/metrics"),
    ]


def test_what_fails_through_a_fault_is_a_warning(filled: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(filled.settings)
    app.get("/broken")(lambda: 1 // 0)
    with caplog.at_level(logging.INFO, "api"):
        answer = app.test_client().get("/broken")
    assert answer.status_code == 500 and answer.json["request_id"] == answer.headers["X-Request-Id"]
    told = [(record.levelname, record.name) for record in caplog.records]
    assert told == [("ERROR", "api"), ("WARNING", "api.serving.request_log")]
