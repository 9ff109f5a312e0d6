"""The Celery app and its tasks. The work itself is in pipeline.py; worker/ knows Celery too."""

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
from celery.signals import beat_init, task_prerun, worker_init
from redis import RedisError

from tracker import logs, pipeline
from tracker.alerts import quiet, ranking, recorder, sender, unanswered
from tracker.alerts.extras import Extras
from tracker.alerts.outbox import Outbox
from tracker.alerts.peers import Peers
from tracker.alerts.rulebook import Rulebook
from tracker.alerts.rules import fresh_steps
from tracker.alerts.saved_rules import RulesInForce, SavedRules
from tracker.clock import wall
from tracker.errors import MustWait, SourceError, StoreError
from tracker.settings import settings
from tracker.sources import module
from tracker.sources.budget import plan
from tracker.sources.guard import GuardedSource, SourceGuard, guarded
from tracker.sources.watchlist import wanted
from tracker.store import skew
from tracker.store.connection import connect
from tracker.store.series import Store
from tracker.worker import (  # some only connect to Celery's signals
    counting,  # noqa: F401
    heartbeat,
    lines,
    page,  # noqa: F401
    queues,  # noqa: F401
    telemetry,  # noqa: F401
)
from tracker.worker.publishing import BROKER_ERRORS, publish, queue_length
from tracker.worker.timing import now

if logs.is_part():  # also Flower, which sends no signal before its first line
    lines.set_up()
log = logging.getLogger(__name__)
app = Celery("tracker", events="tracker.worker.events:Events", task_cls="tracker.worker.timing:OurTask")
app.now = now
app.config_from_object("celeryconfig")
heartbeat.install(app)

#: The most tasks that a tick makes. Up to this many markets, each has a task of its own. Publishing and taking a task
#: costs more CPU than fetching a market, so several markets in a task cut the cost of 2,000 markets to a fifth.
TASKS_A_TICK = 100
#: After so many seconds a fetch task starts no further market; a new task gets the rest of its batch. The soft time
#: limit ends a last market that takes long.
FETCH_BUDGET = 12
#: With FEED=tickers, the most markets in one evaluate task.
EVALUATED_AT_ONCE = 500
#: Seconds that a fetch may wait in a worker's memory for its source. Well below the visibility timeout. A later tick
#: fetches a market that must wait longer.
LONGEST_WAIT = 60
#: A sweep fills the notify queue up to this many messages, so that it does not grow while no worker takes them.
SWEEP = 1_000


@worker_init.connect
def prepare(**_: Any) -> None:
    """Reads the rules and imports the sources before the fork.

    If the rules file is broken later, a new child uses the rules that its worker read at its start.
    """
    skew.keep(settings())
    rulebook()
    for name in settings().sources:
        module(name)


@task_prerun.connect
def keep_time(**_: Any) -> None:
    skew.keep(settings())


# Each process opens these once, after the fork.


@cache
def rulebook() -> Rulebook:
    return Rulebook(settings().rules)


@cache
def store() -> Store:
    return Store(connect(settings().redis_url, local=settings().redis_socket), settings().ring)


@cache
def outbox() -> Outbox:
    return Outbox(store().redis, quiet=lambda now: quiet.in_force(rulebook().current().quiet, now))


@cache
def rules_in_force() -> RulesInForce:
    return RulesInForce(rulebook(), SavedRules(store().redis))


@cache
def extras() -> Extras:
    return Extras(settings())


@cache
def peers() -> Peers:
    return Peers(store(), settings().sources)


@cache
def source(name: str) -> GuardedSource:
    return guarded(name, settings(), store())


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def refresh_markets(self: Task, name: str) -> None:
    """Makes the catalogue of the source ``name`` its watch list. Has markets that left it evaluated."""
    try:
        markets = refreshed(name)
    except MustWait as wait:
        raise put_back(self, wait, name) from wait
    log.info("%s: %d markets", name, len(markets))
    gone = pipeline.leavers(store(), settings().sources)
    if gone:
        evaluate.apply_async((gone,), expires=life(name))


@app.task(bind=True, autoretry_for=(SourceError,), retry_backoff=1, retry_backoff_max=8, max_retries=8)
def schedule_fetches(self: Task, name: str) -> None:
    """A tick of the source ``name``: publishes the fetches of all its markets, unless another beat's tick did."""
    interval = settings().intervals.of(name)
    if not pipeline.claim(store(), name, self.request.id, interval, settings().clock.now()):
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
    publish(fetch, [(name, batch) for batch in batches], expires=life(name))


@app.task(bind=True, max_retries=None)
def fetch(self: Task, name: str, markets: list[str]) -> None:
    """Fetches ``markets`` one by one, then publishes their evaluation.

    If the time or the source's budget runs out, a new task gets the remaining markets. If the wait would be too long,
    a later tick fetches them.
    """
    started = time.monotonic()
    done: list[str] = []
    unstored: StoreError | None = None
    for at, market in enumerate(markets):
        if time.monotonic() - started > FETCH_BUDGET:
            fetch.apply_async((name, markets[at:]), expires=life(name))
            break
        try:
            with logs.about(market=market):
                pipeline.fetch(store(), name, source(name), market, settings().clock, fresh())
        except MustWait as wait:
            if at == 0:
                raise put_back(self, wait, name, markets) from wait
            if wait.seconds <= LONGEST_WAIT:
                fetch.apply_async((name, markets[at:]), expires=life(name), countdown=wait.seconds)
            break
        except SoftTimeLimitExceeded:
            store().failed(name, settings().clock.now(), "too_slow", f"{market}: the time limit came first", market)
        except StoreError as error:
            store().version()  # raises if all of the store is away; a cluster may lack one server, with some markets
            log.warning("%s: %s is not stored: %s", name, market, error)
            unstored = error
            continue
        except Exception as error:  # a bug that one market meets must not stop the others
            log.exception("%s: fetching %s failed", name, market)
            store().failed(name, settings().clock.now(), "internal_error", f"{market}: {error!r}", market)
        done.append(market)
    if unstored and not done:
        raise unstored
    if done:
        evaluate.apply_async((done,), expires=life(name))


def refreshed(name: str) -> list[str]:
    """Stores the catalogue of the source ``name``; returns the ids of its markets. Raises SourceError, MustWait."""
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
        evaluate.apply_async((markets[at : at + EVALUATED_AT_ONCE],), expires=life(name))


def put_back(task: Task, wait: MustWait, *args: Any) -> Exception:
    """The exception that ends a task that must wait. A retry with ``args`` and the same expiry takes its place.

    There is no retry if the wait is too long, or if the task has no retries left: a later tick does its work.
    """
    tired = task.max_retries is not None and task.request.retries >= task.max_retries
    if wait.seconds > LONGEST_WAIT or tired:
        log.info("%s: left to a later tick: %s", args[0], wait)
        return Ignore()
    retry: Exception = task.retry(
        args=args, countdown=wait.seconds + random.uniform(0, 0.1 * wait.seconds), throw=False
    )
    return retry


@app.task
def evaluate(markets: list[str]) -> None:
    """Recomputes summaries and ranks of ``markets`` and checks the rules."""
    book = rules_in_force().current()
    now = settings().clock.now()
    found = pipeline.evaluate(
        store(), outbox(), book.rules, markets, now, book.wants_resolved, fresh(), book.wants_late, peers()
    )
    publish_notices(found.rows)


@app.task(send_events=False)  # housekeeping: Flower need not show it
def evaluate_sources() -> None:
    """Checks the rules on sources, on their answers for each market, and on ranks."""
    book = rules_in_force().current()
    now, sources = settings().clock.now(), settings().sources
    found = recorder.check_sources(store(), outbox(), book.stale, sources, now, book.wants_resolved)
    without = unanswered.check(store(), outbox(), book.silent, sources, now, book.wants_resolved)
    ranks = ranking.check(store(), outbox(), book.ranked, now, book.wants_resolved)
    publish_notices(found.rows + without.rows + ranks.rows)


@app.task
def notify(alert: str, channel: str, event: str) -> None:
    """Sends the notice of an ``event`` of an alert to a channel, unless that was done."""
    sender.deliver(outbox(), rulebook().current().outlets, f"{alert}/{channel}/{event}", extras().added)


@app.task(send_events=False)
def sweep() -> None:
    """Publishes the notices that are to be tried again, whose silence ended, or whose task was lost."""
    waiting = queue_length(app, "notify")
    publish_notices(sender.due(outbox(), max(SWEEP - waiting, 0)))


@beat_init.connect
def first_tick(sender: Any, **_: Any) -> None:
    """Ticks as soon as a beat starts. Its schedule alone would wait for an interval."""
    for name in settings().sources:
        with suppress(StoreError):  # if this fails, the source is probed within the hour anyway
            SourceGuard(store().redis, name).reconsider(wall())
        try:
            chain(refresh_markets.si(name), schedule_fetches.si(name)).apply_async()
        except (RedisError, *BROKER_ERRORS) as error:
            log.warning("%s: the first tick was not sent, the next one will be: %s", name, error)


def publish_notices(rows: Sequence[str]) -> None:
    """Publishes the notices of ``rows`` of the outbox. They never expire: a late notice is still a notice.

    A sweep publishes those that could not be published.
    """
    if not rows:
        return
    try:
        publish(notify, [tuple(row.split("/")) for row in rows])
    except StoreError as error:
        log.warning("%d notices are left to the sweep: %s", len(rows), error)


def fresh() -> int:
    """Number of steps during which a slot may alert."""
    return fresh_steps(max(map(settings().intervals.of, settings().sources)), settings().step)


def life(name: str) -> float:
    """A task for the source ``name`` expires after this many seconds. The next tick does its work."""
    return max(settings().intervals.of(name) / settings().clock.speed, 5)
