"""Log lines: one an event, as text or as JSON, whatever is in it; and failures that repeat themselves."""

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import logs
from tracker.errors import StoreError

AT = 1_770_000_000.1239
FORGED = 'gone\n2026-01-01T00:00:00.000Z ERROR api forged\x1b[2J\u2028 market=x"'


def made(message: str, *arguments: object, about: dict | None = None, **more: object) -> logging.LogRecord:
    with logs.about(**about or {}):
        record = logs.Record("tracker.x", logging.ERROR, __file__, 1, message, arguments, more.pop("exc_info", None))
    vars(record).update(created=AT, **more)
    return record


def error() -> tuple:
    return ValueError, ValueError(FORGED), None


def test_a_line_of_text_has_time_level_part_message_and_fields() -> None:
    record = made("%d done", 3, about={"task": "fetch", "market": "kraken:btcusd", "other": 1}, ms=44)
    line = "2026-02-02T02:40:00.123Z ERROR worker-fetch 3 done task=fetch market=kraken:btcusd ms=44"
    assert logs.Text("worker-fetch").format(record) == line


def test_a_line_of_json_has_the_same() -> None:
    record = made("%d done", 3, about={"task": "fetch", "market": "kraken:btcusd", "other": 1}, ms=44)
    assert json.loads(logs.Json("worker-fetch").format(record)) == {
        "time": "2026-02-02T02:40:00.123Z", "level": "ERROR", "part": "worker-fetch", "message": "3 done",
        "task": "fetch", "market": "kraken:btcusd", "ms": 44, "logger": "tracker.x",
    }  # fmt: skip


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_the_text_a_line_stays_one(text: str) -> None:
    record = made("%s", text, about={"market": text, "ms": 1})
    for kind in (logs.Text, logs.Json):
        line = kind("api").format(record)
        assert len(line.splitlines()) == 1 and not any(each < " " or "\x7f" <= each < "\xa0" for each in line)
        line.encode()
    assert set(json.loads(line)) == {"time", "level", "part", "message", "market", "ms", "logger"}


def test_a_value_cannot_look_like_another_field() -> None:
    line = logs.Text("api").format(made("x", about={"channel": "a ms=3"}))
    assert line.endswith('ERROR api x channel="a ms=3"')


def test_a_traceback_is_indented_in_text_and_a_field_of_json() -> None:
    record = made("failed", exc_info=error())
    first, *traced = logs.Text("api").format(record).split("\n")
    assert first.endswith("ERROR api failed") and traced and all(line.startswith("  ") for line in traced)
    line = logs.Json("api").format(record)
    assert len(line.splitlines()) == 1 and "ValueError" in json.loads(line)["traceback"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    caplog.handler.addFilter(once := logs.OneLine())
    yield logging.getLogger("tracker.test")
    caplog.handler.removeFilter(once)


def fail(log: logging.Logger, error: Exception, message: str) -> None:
    try:
        raise error
    except type(error):
        log.exception(message)


def test_an_outage_is_told_once_in_a_while(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        log.error("503: %s", StoreError("away"))
    assert [record.getMessage() for record in caplog.records] == ["503: away"]


def test_a_fault_is_told_each_time_and_its_stack_once_in_a_while(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for count in range(3):
        fail(log, ValueError(f"fault {count}"), f"/{count} failed")
    fail(log, KeyError("another"), "it failed")
    told = ["/0 failed", "/1 failed (fault 1)", "/2 failed (fault 2)", "it failed"]
    assert [record.getMessage() for record in caplog.records] == told
    assert caplog.text.count("Traceback") == 2
