"""The API's page for Prometheus: the state of the whole tracker, read from the store, and what API processes count.

Workers and beats have a page of their own, see worker/page.py. No label is a market.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tracker.alerts.deliveries import DEAD
from tracker.alerts.outbox import Outbox
from tracker.clock import wall
from tracker.counts import API, PARTS, Build, Counts, Page
from tracker.errors import StoreError
from tracker.models import FIELDS
from tracker.settings import Settings
from tracker.sources.status import SourceState, states
from tracker.store import parts, queues
from tracker.store.canary import Canary
from tracker.store.connection import topology_of, translated
from tracker.store.freshness import INTERVALS as LATE
from tracker.store.layout import DUE
from tracker.store.queues import Queues
from tracker.store.series import Store

#: State of a source -> its number in `tracker_source_state`.
NUMBERS = {"ok": 0, "starting": 1, "degraded": 2, "down": 3, "blocked": 4}


def metrics_page(store: Store, settings: Settings) -> Page:
    """The page of an API process. Without an answer of the store, it has no state."""
    return Page(Build(), State(store, settings), Counts(settings.data_dir, API))


class State(Collector):
    """What the store knows, as metrics."""

    def __init__(self, store: Store, settings: Settings):
        self._store, self._settings = store, settings

    def collect(self) -> Iterator[Metric]:
        try:
            found = [
                *self._sources(),
                *self._queues_and_parts(),
                *self._alerts(),
                *self._canary(),
                *self._server(),
            ]
        except StoreError:
            found = []
        yield _gauge("tracker_store_up", "1 if the store answers; 0: no other state is known.", bool(found))
        yield from found

    def _sources(self) -> list[Metric]:
        now = self._settings.clock.now()
        ages = _by_source("newest_sample_age_seconds", "Seconds since the newest slot with a sample opened.")
        allowed = _by_source("sample_age_limit_seconds", "Seconds after which it is late: STEP and two INTERVALs.")
        interval = _by_source("interval_seconds", "Seconds between two fetches of a market.")
        answers = _by_source("last_answer_age_seconds", "Seconds since the source last answered.")
        watched = _by_source("watched_markets", "Markets on the watch list.")
        stale = _by_source("stale_markets", "Watched markets without an answer for three intervals.")
        deferred = _by_source("deferred_markets", "Markets that the budget did not pay for at the last tick.")
        ticks = _by_source("last_tick_age_seconds", "Seconds since a tick was last begun.")
        state = _by_source("source_state", f"State of the source: {_told(NUMBERS)}.")
        limit = _by_source("budget_limit_units", "Units of the budget in its period, if the source has a limit.")
        used = _by_source("budget_used_units", "Units of the budget that are used now.")
        opened = _by_source("breaker_open", "1 while the source is not asked because it failed too often.")
        refused = CounterMetricFamily(
            "tracker_refused", "Candles or answers that gave nothing to store.", labels=["source", "reason"]
        )
        for each in states(self._store, self._settings):
            tick = self._store.status(each.name).get("last_tick")
            for family, value in (
                (ticks, None if tick is None else max(now - float(tick), 0)),
                (ages, None if each.newest_slot is None else max(now - each.newest_slot, 0)),
                (allowed, self._settings.step + LATE * each.interval),
                (interval, each.interval),
                (answers, None if each.last_success is None else max(now - each.last_success, 0)),
                (watched, each.markets.tracked),
                (stale, each.markets.stale),
                (deferred, each.budget.deferred),
                (state, NUMBERS[each.state]),
                (limit, each.budget.limit),
                (used, each.budget.used),
                (opened, _is_open(each)),
            ):
                if value is not None:
                    family.add_metric([each.name], value)
            for reason, count in each.refused.items():
                refused.add_metric([each.name, reason], count)
        return [
            ages, allowed, interval, answers, ticks, watched, stale, deferred, state, limit, used, opened, refused,
        ]  # fmt: skip

    def _queues_and_parts(self) -> list[Metric]:
        waiting, seen = queues.read(self._store.redis, wall()), parts.read(self._store.redis)
        return [*self._queues(waiting), *self._parts(seen, waiting.waiting)]

    def _queues(self, found: Queues) -> list[Metric]:
        if found.seen_age is None:
            return []
        length = GaugeMetricFamily("tracker_queue_length", "Tasks that wait, as a beat last saw.", labels=["queue"])
        age = GaugeMetricFamily(
            "tracker_queue_oldest_age_seconds", "Seconds since the oldest of them was published.", labels=["queue"]
        )
        for name, waiting in found.waiting.items():
            length.add_metric([name], waiting.length)
            age.add_metric([name], waiting.age)
        return [length, age, _gauge("tracker_queues_seen_age_seconds", "Seconds since a beat looked.", found.seen_age)]

    def _parts(self, seen: Iterable[parts.Seen], names: Iterable[str]) -> list[Metric]:
        states = Counter((part.kind, part.state) for part in seen)
        family = GaugeMetricFamily("tracker_parts", "Processes, by their heartbeats.", labels=["kind", "state"])
        for kind, state in itertools.product((*PARTS, API), parts.STATES):
            family.add_metric([kind, state], states[kind, state])
        takers = Counter(dict.fromkeys(names, 0))
        takers.update(queue for part in seen if part.state == "working" for queue in part.queues)
        workers = GaugeMetricFamily("tracker_queue_workers", "Workers that take from the queue.", labels=["queue"])
        for queue, count in takers.items():
            workers.add_metric([queue], count)
        return [family, workers]

    def _alerts(self) -> list[Metric]:
        redis, outbox = self._store.redis, Outbox(self._store.redis)
        with translated():
            dead, waiting = int(redis.zcard(DEAD)), int(redis.zcard(DUE))
        firing = GaugeMetricFamily("tracker_firing_alerts", "Alerts that are not over, by rule.", labels=["rule"])
        rules = Counter(subject.partition(":")[0] for subject in outbox.firing())
        for rule, count in rules.items():
            firing.add_metric([rule], count)
        now = wall()
        oldest = outbox.deliveries.oldest_pending()
        return [
            firing,
            _gauge(
                "tracker_oldest_pending_delivery_seconds",
                "Seconds since the oldest pending notice was made; 0: none.",
                max(now - (oldest or now), 0),
            ),
            _gauge("tracker_pending_deliveries", "Notices that are not delivered yet, and reminders to come.", waiting),
            _gauge("tracker_dead_deliveries", "Notices that were given up in the last week.", dead),
        ]

    def _canary(self) -> list[Metric]:
        age = Canary(self._store.redis).age(self._settings.clock.now()) if self._settings.heartbeat_url else None
        return [] if age is None else [_gauge("tracker_canary_age_seconds", "Seconds since a canary passed.", age)]

    def _server(self) -> list[Metric]:
        with translated():
            memory, saved = self._store.redis.info("memory"), self._store.redis.info("persistence")
        written = saved.get("aof_last_write_status") == "ok"
        ranked = GaugeMetricFamily("tracker_ranked_metrics", "Metrics that have a rank, by field.", labels=["field"])
        counted = {field: self._store.ranked(field) for field in FIELDS}
        for field, count in counted.items():
            ranked.add_metric([field], count)
        each = GaugeMetricFamily(
            "tracker_store_memory_per_metric_bytes", "Memory of the data, by the number of ranked metrics."
        )
        if sum(counted.values()) and not topology_of(self._store.redis):  # this is one server of a cluster
            data = memory["used_memory"] - memory.get("used_memory_startup", 0)
            each.add_metric([], data / sum(counted.values()))
        return [
            ranked,
            each,
            _gauge("tracker_store_memory_bytes", "Memory that the store uses.", memory["used_memory"]),
            _gauge("tracker_store_memory_limit_bytes", "The store's maxmemory; 0: no limit.", memory["maxmemory"]),
            _gauge("tracker_store_aof_enabled", "1 if the store writes an append-only file.", saved["aof_enabled"]),
            _gauge("tracker_store_aof_ok", "1 if the last write to that file succeeded.", written),
        ]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _by_source(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tracker_{name}", text, labels=["source"])


def _told(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def _is_open(source: SourceState) -> bool:
    return source.breaker.state != "closed"
