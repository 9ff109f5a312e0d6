"""The Celery app and its tasks: the only module that speaks Celery. What the tasks do is in pipeline.py."""

import logging
import math
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from celery import Celery, Task, chain
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import beat_init, worker_init
from kombu.exceptions import OperationalError
from redis import RedisError

from tracker import alerting, pipeline
from tracker import notify as notices
from tracker.errors import SourceError, StoreError
from tracker.outbox import Outbox
from tracker.rulebook import Rulebook
from tracker.settings import settings
from tracker.sources import Source, open_source
from tracker.store import Store, connect, translated

log = logging.getLogger(__name__)
app = Celery("tracker")
app.config_from_object("celeryconfig")

#: A tick makes more than one market a task only beyond this many tasks.
TASKS_A_TICK = 300
#: Seconds a fetch task goes on to its next market; the rest of its batch goes into a new task. A market that then
#: takes long is given up by the soft time limit.
FETCH_BUDGET = 12


#: Notices that wait in the queue before a sweep adds none: however long no worker takes any, it grows no further.
SWEEP = 1_000


# Opened once a process, after the fork. The rules are read before it too: a child that starts while the file is bad
# still has those its worker started with.


@worker_init.connect
def read_rules(**_: Any) -> None:
    rulebook()


@cache
def rulebook() -> Rulebook:
    return Rulebook(settings().rules)


@cache
def store() -> Store:
    return Store(connect(settings().redis_url), settings().ring)


@cache
def outbox() -> Outbox:
    return Outbox(store().redis)


@cache
def source(name: str) -> Source:
    return open_source(name, settings())


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def refresh_markets(self: Task, name: str) -> None:
    """Makes the catalogue of the source ``name`` its watch list, and sees to markets that left."""
    markets = pipeline.refresh(store(), name, source(name), settings().clock.now())
    log.info("%s: %d markets", name, len(markets))
    gone = pipeline.leavers(store(), settings().sources)
    if gone:
        evaluate.delay(gone)


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def schedule_fetches(self: Task, name: str) -> None:
    """A tick of the source ``name``: publishes the fetches of all its markets, unless another beat's tick has."""
    interval, now = settings().interval, settings().clock.now()
    slot = int(now // interval * interval)
    if not store().claim(name, slot, self.request.id, life=2 * interval):
        log.info("%s: the tick of %d is taken", name, slot)
        return
    markets = list(store().watched(name)) or pipeline.refresh(store(), name, source(name), now)
    size = settings().markets_per_task or math.ceil(len(markets) / TASKS_A_TICK)
    batches = [markets[at : at + size] for at in range(0, len(markets), size)]
    publish(name, batches)


@app.task
def fetch(name: str, markets: list[str]) -> None:
    """Fetches ``markets`` one by one; what time does not suffice for goes into a new task."""
    started = time.monotonic()
    for done, market in enumerate(markets):
        if time.monotonic() - started > FETCH_BUDGET:
            return publish(name, [markets[done:]])
        try:
            pipeline.fetch(store(), name, source(name), market, settings().clock)
        except SoftTimeLimitExceeded:
            store().failed(name, settings().clock.now(), "too_slow", f"{market}: the time limit came first")
        except StoreError:
            raise
        except Exception as error:  # a fault of ours with one market must not take its batch along
            log.exception("%s: fetching %s failed", name, market)
            store().failed(name, settings().clock.now(), "internal_error", f"{market}: {error!r}")


@app.task
def evaluate(markets: list[str]) -> None:
    """Recomputes summaries and ranks of ``markets`` and checks the rules."""
    book = rulebook().current()
    found = pipeline.evaluate(store(), outbox(), book.rules, markets, settings().clock.now(), book.wants_resolved)
    publish_notices(found.rows)


@app.task
def evaluate_sources() -> None:
    """Checks the rules on sources."""
    book = rulebook().current()
    now, sources = settings().clock.now(), settings().sources
    found = alerting.check_sources(store(), outbox(), book.stale, sources, now, book.wants_resolved)
    publish_notices(found.rows)


@app.task
def notify(alert: str, channel: str, event: str) -> None:
    """Sends the notice of an ``event`` of an alert to a channel, if that is still to be done."""
    notices.deliver(outbox(), rulebook().current().outlets, f"{alert}/{channel}/{event}")


@app.task
def sweep() -> None:
    """Publishes notices whose time to be tried again has come, and those whose task was lost."""
    waiting = queue_length("notify")
    publish_notices(outbox().deliveries.due(max(SWEEP - waiting, 0)))


@beat_init.connect
def first_tick(sender: Any, **_: Any) -> None:
    """A beat that starts ticks at once: its schedule alone would wait for an interval."""
    for name in settings().sources:
        chain(refresh_markets.si(name), schedule_fetches.si(name)).apply_async()


def publish(name: str, batches: list[list[str]]) -> None:
    """Publishes the fetches of batches of markets, each with its evaluation chained, in one pipeline.

    Both expire after an interval: the next tick does their work.
    """
    life = max(settings().interval / settings().clock.speed, 5)
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        for batch in batches:
            then = evaluate.si(batch).set(expires=life)
            # No retry: what a pipeline that broke has published is not known, and the next tick heals.
            fetch.apply_async((name, batch), link=[then], expires=life, producer=producer, retry=False)


def queue_length(name: str) -> int:
    """Messages in a queue."""
    with translated():
        return store().redis.llen(name)  # where kombu keeps them


def publish_notices(rows: Sequence[str]) -> None:
    """Publishes the notices of ``rows`` of the outbox, in one pipeline; what is lost on the way a sweep finds.

    They never expire: who comes late is still told.
    """
    if not rows:
        return
    try:
        with app.producer_pool.acquire(block=True) as producer, producer.batch():
            for row in rows:
                notify.apply_async(row.split("/"), producer=producer, retry=False)
    except (OperationalError, RedisError) as error:
        log.warning("%d notices are left to the sweep: %s", len(rows), error)
