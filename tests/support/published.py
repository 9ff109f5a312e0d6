"""Messages as Celery publishes them."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from celery import Celery
from redis import Redis

#: Publishes into this process's own memory.
APP = Celery("published", broker="memory://", set_as_current=False)
APP.conf.task_ignore_result = True


def message(task: str, queue: str, arguments: Sequence[Any], **options: Any) -> dict[str, Any]:
    """A message of ``task``, as kombu wraps it; ``options``: those of ``send_task``."""
    with APP.connection_for_write() as connection:
        APP.send_task(task, arguments, queue=queue, connection=connection, **options)
        return connection.default_channel._get(queue)


def waiting(redis: Redis, queue: str = "fetch") -> list[dict[str, Any]]:
    """The messages in a queue, the newest first: their headers, and their arguments under ``arguments``."""
    messages = [json.loads(raw) for raw in redis.lrange(queue, 0, -1)]
    return [each["headers"] | {"arguments": json.loads(base64.b64decode(each["body"]))[0]} for each in messages]


def seconds_until(time: str) -> float:
    """Seconds until an ``eta`` or ``expires`` of a header."""
    at = datetime.fromisoformat(time)
    return (at - datetime.now(at.tzinfo)).total_seconds()
