"""What Celery's processes log: one line for each task, with its name, its subject and the milliseconds that it took."""

import inspect
import logging
import os
import sys
import time
from functools import cache
from typing import Any

from celery import Task
from celery.apps import worker
from celery.signals import setup_logging, task_postrun, task_prerun
from celery.utils.log import get_multiprocessing_logger

from tracker import logs
from tracker.worker.quiet import Quiet

#: Tasks that run every few seconds whatever happens. They are logged when they fail, or at LOG_LEVEL=debug.
HOUSEKEEPING = ("sweep", "evaluate_sources")
#: How Celery's lines about a task begin. The fields say the same.
PREFIX = "Task %(name)s[%(id)s] "
#: How its line about a task begins that it does not run.
DISCARDED = "Discarding revoked task"
STREAM = sys.stdout


@setup_logging.connect
def set_up(**_: Any) -> None:
    """Takes the place of Celery's own set-up of loggers."""
    logs.set_up(TaskLine(), Quiet())
    get_multiprocessing_logger().propagate = True
    if not logging.getLogger("celery").isEnabledFor(logging.DEBUG):
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)  # a second line for each task
    worker.safe_say = say


class TaskLine(logging.Filter):
    """Shortens what Celery says at the end of a task to what its fields do not say."""

    def filter(self, record: logging.LogRecord) -> bool:
        task = record.args
        if isinstance(task, tuple) and str(record.msg).startswith(DISCARDED):
            name = str(task[0]).rpartition(".")[2]
            record.msg, record.args = "not run: it expired or was revoked", None
            record.task, record.task_id = name, task[1]
            return _worth_a_line(name)
        if record.name != "celery.app.trace" or not isinstance(task, dict) or not str(record.msg).startswith(PREFIX):
            return True
        record.msg = str(record.msg).removeprefix(PREFIX)
        name = task["name"].rpartition(".")[2]
        if record.msg.startswith("succeeded"):
            record.msg = "done"
            if not _worth_a_line(name):
                return False
        began = logs.known().get("began")
        record.ms = began and round(1_000 * (time.monotonic() - began))
        record.task, record.task_id = name, task["id"]
        return True


def _worth_a_line(task: str) -> bool:
    """Whether a ``task`` that did not fail is logged."""
    return task not in HOUSEKEEPING or logging.getLogger("celery").isEnabledFor(logging.DEBUG)


@task_prerun.connect
def begin(sender: Task, task_id: str, args: Any, kwargs: Any, **_: Any) -> None:
    named = {"task": sender.name.rpartition(".")[2], "task_id": task_id, "began": time.monotonic()}
    logs.know(named | subject(_signature(sender).bind(*args, **kwargs).arguments))


@task_postrun.connect
def end(**_: Any) -> None:
    logs.know({})


def subject(arguments: dict[str, Any]) -> dict[str, Any]:
    """The fields of a task with these ``arguments``: its source, its market or how many, its alert."""
    found = {"source": arguments.get("name"), "alert": arguments.get("alert"), "channel": arguments.get("channel")}
    rule_to_slot = str(arguments.get("alert", "")).rsplit(":", 4)  # rule, exchange, pair, field, slot
    if len(rule_to_slot) == 5:
        found["market"] = ":".join(rule_to_slot[1:3])
    match arguments.get("markets"):
        case [market]:
            found["market"] = market
        case [*markets]:
            found["markets"] = len(markets)
    return found


@cache
def _signature(task: Task) -> inspect.Signature:
    return inspect.signature(task.run)


def say(text: str, stream: Any = None) -> None:
    """Writes a line as the log has it. Celery calls this in handlers of signals, where the log may be locked."""
    record = logging.makeLogRecord({"name": __name__, "levelno": logging.INFO, "levelname": "INFO", "msg": text})
    os.write(STREAM.fileno(), f"{logs.formatter().format(record)}\n".encode())
