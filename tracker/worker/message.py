"""A task's message as Celery and kombu put it into Redis, made at a fortieth of what it costs them.

A market takes a task for its fetch and another for its evaluation: to publish these two takes Celery as long as the
fetch itself. Formats: Celery's "Message Protocol", version 2,
https://docs.celeryq.dev/en/stable/internals/protocol.html; around it that of kombu's ``transport.virtual``: JSON, in a
list for each queue that is read from its right end.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from celery import current_task
from celery.app.task import Context
from celery.utils.nodenames import anon_nodename

from tracker.clock import wall
from tracker.store.raw import Command

#: Characters of the arguments that Flower is shown: a batch may have many.
SHOWN = 1_024


def published(
    task: str, queue: str, arguments: Sequence[Any], life: float | None = None, countdown: float = 0
) -> Command:
    """The command that publishes a task of this name with ``arguments``, as one that follows the task being done.

    It expires after ``life`` seconds, and is not begun before ``countdown`` seconds are over.
    """
    id, now = str(uuid4()), wall()
    before = current_task.request if current_task else Context()
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    headers = {
        "lang": "py", "task": task, "id": id, "parent_id": before.id, "root_id": before.root_id or before.id or id,
        "eta": _time(now + countdown) if countdown else None, "expires": None if life is None else _time(now + life),
        "argsrepr": repr(tuple(arguments))[:SHOWN], "kwargsrepr": "{}", "origin": anon_nodename(), "retries": 0,
        "ignore_result": True, "timelimit": [None, None], "shadow": None, "group": None, "group_index": None,
        "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    properties = {
        "correlation_id": id, "delivery_mode": 2, "delivery_tag": str(uuid4()), "priority": 0,
        "delivery_info": {"exchange": "", "routing_key": queue}, "body_encoding": "base64",
    }  # fmt: skip
    if life is not None:
        properties["expiration"] = str(int(life * 1_000))
    message = {
        "body": b64encode(orjson.dumps([arguments, {}, embedded])).decode(), "content-type": "application/json",
        "content-encoding": "utf-8", "headers": headers, "properties": properties,
    }  # fmt: skip
    return "LPUSH", queue, orjson.dumps(message)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
