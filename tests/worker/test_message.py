"""What publishes a task without Celery: it must be what Celery would have published."""

import base64
import json
from datetime import datetime, timedelta

import pytest
from celery import Celery, Task
from kombu import Queue
from redis import Redis

from tests.support.servers import StoreServer
from tracker.worker.message import SHOWN, published

#: What differs between any two messages, or says whose results are waited for.
OWN = {"id", "correlation_id", "delivery_tag", "reply_to"}
TIMES = {"expires", "eta"}
MARKETS = ["kraken:btcusd", "okx:grün/₿"]


def message(raw: bytes) -> tuple[dict, dict, list]:
    """(what it is wrapped in, its headers and properties, its body)."""
    wrapped = json.loads(raw)
    parts = wrapped.pop("headers") | wrapped.pop("properties")
    return wrapped, parts, json.loads(base64.b64decode(wrapped.pop("body")))


def done(*arguments: object) -> None:
    """What the task does."""


@pytest.fixture
def app(store_server: StoreServer) -> Celery:
    made = Celery("another", broker=store_server.url)
    made.conf.update(task_ignore_result=True, task_queues=[Queue("evaluate")])
    made.task(done, name="the.task", shared=False)
    return made


def both(
    app: Celery, redis: Redis, arguments: tuple, **when: float
) -> tuple[tuple[dict, dict, list], tuple[dict, dict, list]]:
    """The message that Celery publishes, and ours."""
    expires, countdown = when.get("life"), when.get("countdown")
    app.tasks["the.task"].apply_async(arguments, queue="evaluate", expires=expires, countdown=countdown)
    redis.execute_command(*published("the.task", "evaluate", arguments, **when))
    ours, theirs = map(message, redis.lrange("evaluate", 0, -1))
    redis.delete("evaluate")
    return theirs, ours


@pytest.mark.parametrize("arguments", [(MARKETS,), ("alert", 7, None, {"a": [1.5]}), ()])
@pytest.mark.parametrize("when", [{}, {"life": 60}, {"life": 90.5, "countdown": 7.5}])
def test_a_message_is_what_celery_publishes(app: Celery, redis: Redis, arguments: tuple, when: dict) -> None:
    theirs, ours = both(app, redis, arguments, **when)
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    assert set(ours[1]) == set(theirs[1]) - {"reply_to"}
    for name in set(ours[1]) - OWN - TIMES - {"root_id"}:
        assert ours[1][name] == theirs[1][name], name
    for name in TIMES:
        both_at = [each[1][name] and datetime.fromisoformat(each[1][name]) for each in (ours, theirs)]
        assert both_at == [None, None] or abs(both_at[0] - both_at[1]) < timedelta(seconds=5)
    for each in (ours, theirs):
        assert each[1]["id"] == each[1]["correlation_id"] == each[1]["root_id"]


@pytest.mark.parametrize("root", [None, "its-root"])
def test_a_message_tells_what_task_it_follows(app: Celery, redis: Redis, root: str | None) -> None:
    found = []

    def first(self: Task) -> None:
        self.request.root_id = root
        found.append(both(app, redis, (1,)))

    app.task(first, bind=True, name="first", shared=False).apply(task_id="its-parent", throw=True)
    [(theirs, ours)] = found
    assert ours[1]["parent_id"] == theirs[1]["parent_id"] == "its-parent"
    assert ours[1]["root_id"] == theirs[1]["root_id"] == (root or "its-parent")


def test_every_message_is_one_of_its_own() -> None:
    parts = [message(published("a.task", "queue", ())[2])[1] for _ in range(9)]
    assert len({each[name] for each in parts for name in ("id", "delivery_tag")}) == 18


def test_long_arguments_are_shown_in_part_and_sent_in_full() -> None:
    markets = [f"kraken:pair{number}" for number in range(5_000)]
    _, parts, (arguments, *_) = message(published("a.task", "queue", (markets,))[2])
    assert arguments == [markets]
    assert len(parts["argsrepr"]) == SHOWN
