"""Counts the tasks of a worker: how long they ran, how they ended, and how long they waited for their begin."""

import time
from datetime import datetime
from typing import Any

from celery import Task
from celery.signals import task_postrun, task_prerun

from tracker import counts
from tracker.clock import wall
from tracker.worker.queues import PUBLISHED, queue_of


@task_prerun.connect
def begun(task: Task, **_: Any) -> None:
    request = task.request
    request.begun = time.perf_counter()
    published = request.get(PUBLISHED)
    if published is not None:
        eta = datetime.fromisoformat(request.eta).timestamp() if request.eta else 0
        queue = queue_of(request.delivery_info["routing_key"])
        counts.WAITED.labels(queue).observe(max(wall() - max(published, eta), 0))


@task_postrun.connect
def ended(task: Task, state: str | None, **_: Any) -> None:
    taken = time.perf_counter() - task.request.begun
    counts.TASKS.labels(task.name.rpartition(".")[2], (state or "failure").lower()).observe(taken)
