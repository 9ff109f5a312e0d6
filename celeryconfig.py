"""Celery's settings: broker, queues, routes, limits, beat's schedule. Comments name the fault that each prevents."""

import os
import sys
from datetime import datetime

from celery.schedules import schedstate, schedule

from tracker.errors import SettingsError
from tracker.plain import plain
from tracker.settings import settings
from tracker.sources import known
from tracker.worker.broker import broker

try:
    _settings = known(settings())
    _broker = broker(_settings)
except SettingsError as error:
    sys.exit(plain(str(error)))

# What differs between Redis, sentinels, RabbitMQ and others is in tracker/worker/broker.py, with its reasons. Celery's
# commands also read BROKER_URL, in their own form, and would prefer that.
os.environ.pop("CELERY_BROKER_URL", None)
broker_url = _broker.url
broker_use_ssl = _broker.tls
broker_transport_options = _broker.options
# Wait for the broker however long its outage: a worker that gives up needs a person.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# RabbitMQ only: a worker and RabbitMQ say every 10 s that they are alive. After 30 s of silence at most, the worker has
# connected again, and RabbitMQ delivers its tasks to others. With Celery's 120 s, that takes four minutes.
broker_heartbeat = 10
# A few tries to publish a tick or a retry while the broker restarts. Then the caller gets the error.
task_publish_retry_policy = {"max_retries": 5, "interval_start": 0, "interval_step": 0.5, "interval_max": 2}

# Tasks beside those of tracker/tasks.py.
imports = ["tracker.canary"]

# One queue for each kind of task, so that a slow source or channel does not delay evaluation.
task_queues = [_broker.queue(name) for name in ("fetch", "evaluate", "notify")]
# A misspelt queue is an error. Otherwise it would be a queue without readers.
task_create_missing_queues = False
task_default_queue = "fetch"
task_routes = {
    "tracker.tasks.refresh_markets": "fetch",
    "tracker.tasks.schedule_fetches": "fetch",
    "tracker.tasks.fetch*": "fetch",
    "tracker.tasks.evaluate*": "evaluate",
    "tracker.tasks.sweep": "evaluate",  # a slow channel must not delay retries on other channels
    "tracker.tasks.notify": "notify",
    "tracker.canary.fetch_canary": "fetch",
    "tracker.canary.evaluate_canary": "evaluate",
    "tracker.canary.notify_canary": "notify",
}

# Tasks store their results in Redis themselves. Nothing reads Celery's results.
task_ignore_result = True

# If a worker or its child dies, others run its tasks again. All tasks are idempotent.
task_acks_late = True
task_reject_on_worker_lost = True
# A dead worker's prefetched tasks would wait for the visibility timeout. So prefetch few.
worker_prefetch_multiplier = 1
# A worker that connects again while tasks run would prefetch even fewer, and from a quorum queue for ever.
worker_enable_prefetch_count_reduction = False
# Seconds of a task at most: a source may never end its answer. Soft: drop the market. Hard: kill the process.
task_soft_time_limit = 30
task_time_limit = 45
# Restart a prefork child after this many tasks, in case it leaks memory.
worker_max_tasks_per_child = 2000
# After SIGTERM a worker takes no more tasks and waits at most these seconds for the running ones (worker/stopping.py).
# Then it returns tasks that still run to their queue. Most fetches take a second. This needs REMAP_SIGTERM=SIGQUIT,
# which `python -m tracker worker` sets.
worker_soft_shutdown_timeout = 5

# JSON only: anyone who can write to the broker could run code with a pickle.
task_serializer = "json"
accept_content = ["json"]

# Flower sees every task that a worker takes. An event for each sent task would double the messages.
worker_send_task_events = True
task_send_sent_event = False
# Send events ten times a second. Sending with each turn of a worker's loop took half of its main process's CPU.
worker_consumer = "tracker.worker.consumer:Consumer"

# Machines in different time zones agree on times.
timezone = "UTC"
# Output that a library prints is not a log line.
worker_redirect_stdouts = False


class EachInterval(schedule):  # type: ignore[misc]  # Celery has no types
    """Due once in every interval of ``run_every`` seconds of our clock, a tenth after the interval begins.

    A tick claims the interval in which it runs. Far from the interval's edges, a tick that waited a little, or whose
    beat has a slightly different clock, still claims its own.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        every, clock = self.run_every.total_seconds(), _settings.clock
        began = clock.now() - every / 10
        latest = began // every * every + every / 10  # when a tick was last due
        due = clock.at(last_run_at.timestamp()) < latest
        return schedstate(due, (latest + every - clock.now()) / clock.speed)


# Any number of beats may run: a tick claims its slot, so a second beat's tick finds it taken. A tick expires if no
# worker takes it within an interval.
_intervals = {source: _settings.intervals.of(source) for source in _settings.sources}
beat_schedule = {
    f"{task} {source}": {
        "task": f"tracker.tasks.{task}",
        "args": (source,),
        "schedule": due,
        "options": {"expires": max(every / _settings.clock.speed, 5)},
    }
    for source, every in _intervals.items()
    for task, due in (("schedule_fetches", EachInterval(every)), ("refresh_markets", 3600))
} | {
    # Sweeps need no claim: a second one finds nothing left to do. A late one expires, because the next is already due.
    task: {"task": f"tracker.tasks.{task}", "schedule": every, "options": {"expires": 2 * every}}
    for task, every in (("sweep", 2), ("evaluate_sources", 10))
}
if _settings.heartbeat_url:
    # A tick runs in the interval in which it is sent, or not at all: it is sent a tenth after the interval begins.
    _waits = {"expires": 0.9 * 60 / _settings.clock.speed}
    beat_schedule["canary"] = {"task": "tracker.canary.fetch_canary", "schedule": EachInterval(60), "options": _waits}
# The schedule is in memory: a new beat needs no memory of the last one, and runs on while Redis is away.
beat_scheduler = "tracker.worker.beat:OurScheduler"
beat_max_loop_interval = min(2, *(every / _settings.clock.speed for every in _intervals.values()))
