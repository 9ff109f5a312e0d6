"""The Celery app and its tasks. What they do is in pipeline.py; worker/ knows Celery too."""

import logging
import math
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from celery import Celery, Task, chain
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import after_setup_logger, beat_init, task_prerun, worker_init
from kombu.exceptions import OperationalError
from redis import RedisError

from tracker import pipeline
from tracker.alerts import recorder, sender
from tracker.alerts.outbox import Outbox
from tracker.alerts.rulebook import Rulebook
from tracker.alerts.rules import fresh_steps
from tracker.clock import wall
from tracker.errors import MustWait, SourceError, StoreError
from tracker.plain import log_plainly
from tracker.settings import settings
from tracker.sources import module
from tracker.sources.budget import plan
from tracker.sources.guard import GuardedSource, SourceGuard, guarded
from tracker.sources.watchlist import wanted
from tracker.store import skew
from tracker.store.connection import connect
from tracker.store.raw import Command, RawPipeline
from tracker.store.series import Store
from tracker.worker.message import published
from tracker.worker.quiet import OneLine
from tracker.worker.timing import now

log_plainly()
log = logging.getLogger(__name__)
app = Celery("tracker", events="tracker.worker.events:Events", task_cls="tracker.worker.timing:OurTask")
app.now = now  # type: ignore[method-assign]
app.config_from_object("celeryconfig")

#: A tick makes more than one market a task only beyond this many tasks.
TASKS_A_TICK = 300
#: Seconds a fetch task goes on to its next market; the rest of its batch goes into a new task. A market that then
#: takes long is given up by the soft time limit.
FETCH_BUDGET = 12
#: Markets whose prices came in one answer and that are evaluated in one task.
EVALUATED_AT_ONCE = 500
#: Seconds that a fetch waits in a worker's memory for its source, well below the visibility timeout. Who must wait
#: longer is left to a later tick.
LONGEST_WAIT = 60


#: Notices that wait in the queue before a sweep adds none: however long no worker takes any, it grows no further.
SWEEP = 1_000


@after_setup_logger.connect
def keep_secrets(logger: logging.Logger, loglevel: int, **_: Any) -> None:
    """LOG_LEVEL is for our lines and Celery's. Of the libraries only warnings are logged.

    Their other lines hold URLs, header fields and OAuth's keys. ``tracker.http`` silences urllib3 altogether.
    """
    logger.setLevel(max(loglevel, logging.WARNING))
    for ours in ("tracker", "celery"):
        logging.getLogger(ours).setLevel(loglevel)


# Opened once a process, after the fork. The rules are read before it too: a child that starts while the file is bad
# still has those its worker started with. What sources import is imported once for all children.


@worker_init.connect
def prepare(**_: Any) -> None:
    skew.keep(settings())
    rulebook()
    for name in settings().sources:
        module(name)


@after_setup_logger.connect
def shorten(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.addFilter(OneLine())


@task_prerun.connect
def keep_time(**_: Any) -> None:
    skew.keep(settings())


@cache
def rulebook() -> Rulebook:
    return Rulebook(settings().rules)


@cache
def store() -> Store:
    return Store(connect(settings().redis_url, local=settings().redis_socket), settings().ring)


def raw() -> RawPipeline:
    """The store is the broker too."""
    return RawPipeline.of(store().redis)


@cache
def outbox() -> Outbox:
    return Outbox(store().redis)


@cache
def source(name: str) -> GuardedSource:
    return guarded(name, settings(), store())


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def refresh_markets(self: Task, name: str) -> None:
    """Makes the catalogue of the source ``name`` its watch list, and sees to markets that left."""
    try:
        markets = refreshed(name)
    except MustWait as wait:
        raise put_back(self, wait, name) from wait
    log.info("%s: %d markets", name, len(markets))
    gone = pipeline.leavers(store(), settings().sources)
    if gone:
        publish_evaluation(name, gone)


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def schedule_fetches(self: Task, name: str) -> None:
    """A tick of the source ``name``: publishes the fetches of all its markets, unless another beat's tick has."""
    interval, now = settings().intervals.of(name), settings().clock.now()
    slot = int(now // interval * interval)
    if not store().claim(name, slot, self.request.id, life=2 * interval):
        log.info("%s: the tick of %d is taken", name, slot)
        return
    try:
        markets = list(store().watched(name)) or refreshed(name)
    except MustWait as wait:
        raise put_back(self, wait, name) from wait
    if settings().feeds.of(name) == "tickers":
        store().note(name, deferred=0)
        fetch_tickers.apply_async((name,), expires=life(name))
        return
    limit = plan(name, settings())
    affordable = limit.fetches(interval / settings().clock.speed) if limit else None
    markets = pipeline.due(store(), name, markets, affordable)
    size = settings().markets_per_task or math.ceil(len(markets) / TASKS_A_TICK)
    batches = [markets[at : at + size] for at in range(0, len(markets), size)]
    publish_fetches(name, batches)


@app.task(bind=True, max_retries=None)
def fetch(self: Task, name: str, markets: list[str]) -> None:
    """Fetches ``markets`` one by one, and hands them to their evaluation.

    What time or the source's budget does not suffice for goes back to the queue.
    """
    started = time.monotonic()
    done: list[str] = []
    for market in markets:
        if time.monotonic() - started > FETCH_BUDGET:
            publish_fetches(name, [markets[len(done) :]])
            break
        try:
            pipeline.fetch(store(), name, source(name), market, settings().clock)
        except MustWait as wait:
            if not done:
                raise put_back(self, wait, name, markets) from wait
            if wait.seconds <= LONGEST_WAIT:
                publish_fetches(name, [markets[len(done) :]], countdown=wait.seconds)
            break
        except SoftTimeLimitExceeded:
            store().failed(name, settings().clock.now(), "too_slow", f"{market}: the time limit came first", market)
        except StoreError:
            raise
        except Exception as error:  # a fault of ours with one market must not take its batch along
            log.exception("%s: fetching %s failed", name, market)
            store().failed(name, settings().clock.now(), "internal_error", f"{market}: {error!r}", market)
        done.append(market)
    publish_evaluation(name, done)


def refreshed(name: str) -> list[str]:
    earlier = settings().sources[: settings().sources.index(name)]
    return pipeline.refresh(store(), name, source(name), settings().clock.now(), wanted(name, settings()), earlier)


@app.task(bind=True, max_retries=None)
def fetch_tickers(self: Task, name: str) -> None:
    """Samples the prices of all markets of the source ``name`` in one request."""
    try:
        markets = pipeline.sample(store(), name, source(name), settings().clock)
    except MustWait as wait:
        raise put_back(self, wait, name) from wait
    for at in range(0, len(markets), EVALUATED_AT_ONCE):
        publish_evaluation(name, markets[at : at + EVALUATED_AT_ONCE])


def put_back(task: Task, wait: MustWait, *args: Any) -> Exception:
    """What ends a task that must wait: another with ``args``, and the same expiry, comes for it."""
    tired = task.max_retries is not None and task.request.retries >= task.max_retries
    if wait.seconds > LONGEST_WAIT or tired:
        log.info("%s: left to a later tick: %s", args[0], wait)
        return Ignore()
    return task.retry(args=args, countdown=wait.seconds + random.uniform(0, 0.1 * wait.seconds), throw=False)


@app.task
def evaluate(markets: list[str]) -> None:
    """Recomputes summaries and ranks of ``markets`` and checks the rules."""
    book = rulebook().current()
    fresh = fresh_steps(max(map(settings().intervals.of, settings().sources)), settings().step)
    now = settings().clock.now()
    found = pipeline.evaluate(store(), outbox(), book.rules, markets, now, book.wants_resolved, fresh)
    publish_notices(found.rows)


@app.task
def evaluate_sources() -> None:
    """Checks the rules on sources."""
    book = rulebook().current()
    now, sources = settings().clock.now(), settings().sources
    found = recorder.check_sources(store(), outbox(), book.stale, sources, now, book.wants_resolved)
    publish_notices(found.rows)


@app.task
def notify(alert: str, channel: str, event: str) -> None:
    """Sends the notice of an ``event`` of an alert to a channel, if that is still to be done."""
    sender.deliver(outbox(), rulebook().current().outlets, f"{alert}/{channel}/{event}")


@app.task
def sweep() -> None:
    """Publishes the notices to be tried again, those whose silence ended, and those whose task was lost."""
    waiting = queue_length("notify")
    publish_notices(sender.due(outbox(), max(SWEEP - waiting, 0)))


@beat_init.connect
def first_tick(sender: Any, **_: Any) -> None:
    """A beat that starts ticks at once: its schedule alone would wait for an interval."""
    for name in settings().sources:
        with suppress(StoreError):  # a probe is due within the hour all the same
            SourceGuard(store().redis, name).reconsider(wall())
        try:
            chain(refresh_markets.si(name), schedule_fetches.si(name)).apply_async()
        except (OperationalError, RedisError) as error:
            log.warning("%s: the first tick was not sent, the next one will be: %s", name, error)


def publish_fetches(name: str, batches: list[list[str]], countdown: float = 0) -> None:
    """Publishes the fetches of batches of markets. They expire after an interval."""
    publish([published(fetch.name, "fetch", (name, batch), life(name), countdown) for batch in batches])


def publish_evaluation(name: str, markets: list[str]) -> None:
    """Publishes the evaluation of ``markets`` of the source ``name``. It expires after an interval."""
    publish([published(evaluate.name, "evaluate", (markets,), life(name))])


def publish_notices(rows: Sequence[str]) -> None:
    """Publishes the notices of ``rows`` of the outbox; what is lost on the way a sweep finds.

    They never expire: who comes late is still told.
    """
    if not rows:
        return
    try:
        publish([published(notify.name, "notify", row.split("/")) for row in rows])
    except StoreError as error:
        log.warning("%d notices are left to the sweep: %s", len(rows), error)


def publish(messages: Sequence[Command]) -> None:
    """Publishes, in one exchange. Where that breaks on the way, some are published twice."""
    raw().ask(messages)


def life(name: str) -> float:
    """Seconds until a task for the source ``name`` is of no more use: the next tick does its work."""
    return max(settings().intervals.of(name) / settings().clock.speed, 5)


def queue_length(name: str) -> int:
    """Messages in a queue."""
    [length] = raw().ask([("LLEN", name)])  # where kombu keeps them
    return length
