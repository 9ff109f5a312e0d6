"""While the store fails, a log gets one line a minute for it."""

import logging
from collections.abc import Iterator

import pytest
from redis.exceptions import OutOfMemoryError

from tracker.worker.quiet import Quiet


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    caplog.handler.addFilter(quiet := Quiet())
    yield logging.getLogger("celery.test")
    caplog.handler.removeFilter(quiet)


def fail(log: logging.Logger, error: Exception, message: str = "it failed") -> None:
    try:
        raise error
    except type(error):
        log.exception(message)


def test_a_failure_of_the_store_is_one_line_for_a_while(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        fail(log, OutOfMemoryError("full"))
    log.error("another thing failed: %s", OutOfMemoryError("full"))
    assert [record.getMessage() for record in caplog.records] == ["it failed (full)", "another thing failed: full"]
    assert "Traceback" not in caplog.text


def test_what_celery_says_of_a_broker_that_is_away_is_one_line(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = logging.getLogger("celery.worker.consumer.consumer")
    for tries in range(3):
        consumer.error("cannot connect: %s. Try %s", ConnectionRefusedError("no"), tries)
        fail(consumer, OSError("unexpectedly closed"), "connection lost")
    assert [record.getMessage() for record in caplog.records] == [
        "cannot connect: no. Try 0",
        "connection lost (unexpectedly closed)",
    ]


def test_a_file_that_a_task_cannot_open_keeps_its_stack(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    fail(logging.getLogger("celery.app.trace"), OSError("no such file"))
    assert caplog.text.count("Traceback") == 1
