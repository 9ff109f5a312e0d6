"""Celery's settings: broker, queues, routes, limits, beat's schedule. Each says which fault it answers."""

import sys
from datetime import datetime

from celery.schedules import schedstate, schedule
from kombu.entity import Exchange, Queue

from tracker.errors import SettingsError
from tracker.plain import plain
from tracker.settings import settings
from tracker.sources import known

try:
    _settings = known(settings())
except SettingsError as error:
    sys.exit(plain(str(error)))

# Broker. An outage of any length is waited out: a worker that gives up needs a person.
broker_url = _settings.redis_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_transport_options = {
    # A message whose worker died unseen is delivered again after this: above the hard time limit and every countdown,
    # or a running task would be started a second time.
    "visibility_timeout": 180,
    # Look for such messages every 5 s, each time: with the defaults it takes 87 s longer.
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A connection that died without a word is noticed.
    "health_check_interval": 10,
    "socket_timeout": 15,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
}
# A tick or a retry that is published while the broker restarts: a few tries, then the caller learns of it.
task_publish_retry_policy = {"max_retries": 5, "interval_start": 0, "interval_step": 0.5, "interval_max": 2}

# One queue a task kind, so that a slow source does not hold up evaluation, nor a slow channel either.
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in ("fetch", "evaluate", "notify")]
# A misspelt queue is an error, not a queue that nobody reads.
task_create_missing_queues = False
task_default_queue = "fetch"
task_routes = {
    "tracker.tasks.refresh_markets": "fetch",
    "tracker.tasks.schedule_fetches": "fetch",
    "tracker.tasks.fetch*": "fetch",
    "tracker.tasks.evaluate*": "evaluate",
    "tracker.tasks.sweep": "evaluate",  # a slow channel must not hold up the retries of the others
    "tracker.tasks.notify": "notify",
}

# Results are in Redis by our own doing; Celery's would be written for nobody.
task_ignore_result = True

# A worker that dies, or its child, leaves its tasks to others: all are idempotent.
task_acks_late = True
task_reject_on_worker_lost = True
# A worker that dies takes no queue of prefetched tasks with it into the visibility timeout.
worker_prefetch_multiplier = 1
# A source that never ends its answer (soft: the market is given up, hard: the process).
task_soft_time_limit = 30
task_time_limit = 45
# Whatever leaks, leaks this long (prefork).
worker_max_tasks_per_child = 2000
# After SIGTERM a worker takes no more tasks and waits at most this long for those that run (worker/stopping.py). Then
# it hands back what still runs. Most fetches take a second. It needs REMAP_SIGTERM=SIGQUIT, which
# `python -m tracker worker` sets.
worker_soft_shutdown_timeout = 5

# JSON only: a pickle from a broker that others can write to would run their code.
task_serializer = "json"
accept_content = ["json"]

# Flower sees every task that a worker takes. (That one was sent would be a second message for each.)
worker_send_task_events = True
task_send_sent_event = False
# Their events are sent ten times a second, not with each turn of a worker's loop: that took half of its main process.
worker_consumer = "tracker.worker.consumer:Consumer"

# Clocks on two machines agree whatever their zones.
timezone = "UTC"
# What a library prints is no log line of ours.
worker_redirect_stdouts = False


class EachInterval(schedule):  # type: ignore[misc]  # Celery has no types
    """Due once in every interval of so many seconds of the clock, a tenth after it begins.

    A tick claims the interval it is executed in: away from its edges, one that waited a little, or was sent by a beat
    whose clock differs a little, still is in its own.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        every, clock = self.run_every.total_seconds(), _settings.clock
        began = clock.now() - every / 10
        latest = began // every * every + every / 10  # when it was due last
        due = clock.at(last_run_at.timestamp()) < latest
        return schedstate(due, (latest + every - clock.now()) / clock.speed)


# Any number of beats: a tick claims its slot, and a second beat's finds it taken. A tick that no worker takes within
# an interval is of no more use.
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
    # What a sweep does twice it finds done: no claim. One that waited for long is followed by another.
    task: {"task": f"tracker.tasks.{task}", "schedule": every, "options": {"expires": 2 * every}}
    for task, every in (("sweep", 2), ("evaluate_sources", 10))
}
# In memory: a beat that starts anew has nothing to remember, and survives an outage of Redis.
beat_scheduler = "tracker.worker.beat:OurScheduler"
beat_max_loop_interval = min(2, *(every / _settings.clock.speed for every in _intervals.values()))
