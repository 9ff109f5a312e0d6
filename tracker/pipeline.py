"""The steps of the main job, without Celery: refresh a watch list, fetch a market, evaluate markets.

Each may run twice, late or not at all: a write says "this market, this slot, these values", and everything else is
computed from what is stored.
"""

import logging
from collections.abc import Collection, Sequence

import numpy as np

from tracker import candles, rules, stats
from tracker.alerting import Found, Recorder
from tracker.clock import Clock
from tracker.errors import SourceError
from tracker.models import FIELDS, VOLUME, Candles, Metric
from tracker.outbox import Outbox
from tracker.ring import Ring
from tracker.sources import Source
from tracker.store import Store

log = logging.getLogger(__name__)

#: Newest slots looked at to find where a fetch goes on from. Older ones are only looked at if these have no trade.
TAIL = 64
#: Markets whose windows are read and computed at a time: few enough for a core's cache, enough for a pipeline.
CHUNK = 128


def refresh(store: Store, name: str, source: Source, now: float) -> list[str]:
    """Makes the source's catalogue its watch list and returns its market ids; raises SourceError, counted.

    An empty catalogue is refused: the watch list stays.
    """
    try:
        markets = source.markets()
        if not markets:
            raise SourceError("no_markets", f"the catalogue of {name} is empty")
    except SourceError as error:
        store.failed(name, now, error.reason, f"catalogue: {error.reason}: {error}")
        raise
    store.watch(name, markets)
    return sorted(market.id for market in markets)


def fetch(store: Store, name: str, source: Source, market: str, clock: Clock) -> None:
    """Stores all candles of ``market`` since its last stored slot; what the source does wrong is counted and logged."""
    asked = clock.now()
    known = _resume(store, market, asked)
    since, price = known or (store.ring.first(asked), float("nan"))
    try:
        answer = source.candles(market, since)
    except SourceError as error:
        log.warning("%s: nothing stored of %s: %s: %s", name, market, error.reason, error)
        store.failed(name, clock.now(), error.reason, f"{market}: {error.reason}: {error}")
        return
    slots, values = candles.fill(answer, store.ring.slot(asked), store.ring.step, price)
    now = clock.now()
    final = _final(slots, answer, store.ring, asked, now)
    store.write(name, market, slots[final], values[final], now, new=known is None, refused=answer.refused)
    if answer.refused:
        log.warning("%s: refused candles of %s: %s", name, market, answer.refused)


def evaluate(
    store: Store, outbox: Outbox, active: Sequence[rules.Rule], markets: Sequence[str], now: float,
    wants_resolved: Collection[str] = (),
) -> Found:  # fmt: skip
    """Stores summaries and ranks of ``markets``; records what ``active`` rules find, and which alerts are over.

    ``wants_resolved``: the channels that are told of the latter.
    """
    series = [rule for rule in active if isinstance(rule, rules.SeriesRule)]
    recorder = Recorder(outbox, now, wants_resolved)
    firing = {subject.partition(":")[2] for subject in recorder.firing}
    checked: list[str] = []
    windows = [np.empty((0, store.ring.rows))]
    for start in range(0, len(markets), CHUNK):
        chunk = markets[start : start + CHUNK]
        metrics = [Metric(market, field) for field in FIELDS for market in chunk]
        values = store.windows(chunk, now).reshape(len(metrics), store.ring.rows)
        store.save(metrics, stats.describe(values, store.ring.step), now)
        ids = tuple(metric.id for metric in metrics)
        open_rows = {row for row, id in enumerate(ids) if id in firing}
        rows = sorted(open_rows.union(rules.screen(values, ids, series, store.ring.step).tolist()))
        checked += [ids[row] for row in rows]
        windows.append(values[rows])
    recorder.check(series, checked, np.concatenate(windows), store.ring.first(now), store.ring.step)
    return recorder.found


def leavers(store: Store, sources: Sequence[str]) -> list[str]:
    """Markets that still have ranks but are on no watch list: to be evaluated until their samples are gone."""
    watched = {market for source in sources for market in store.watched(source)}
    ranked = {Metric.parse(metric).market for field in FIELDS for metric in store.ranking(field)}
    return sorted(ranked - watched)


def _resume(store: Store, market: str, now: float) -> tuple[int, float] | None:
    slots = store.ring.slots(now)
    tail = store.tail(market, now, min(TAIL, len(slots)))
    if not (tail[VOLUME] > 0).any():  # the silence may have begun earlier, and is all asked for again
        tail = store.windows([market], now)[:, 0]
    return candles.resume(tail, slots[-tail.shape[1] :])


def _final(slots: np.ndarray, answer: Candles, ring: Ring, asked: float, now: float) -> np.ndarray:
    """Which slots to write: all, or where a slot has ended since the source was asked only those final by then.

    An unfinished candle that had to wait, for a slow answer or a stopped process, must not be written over the finished
    one; nor must what was inferred from the silence of a source that lags.
    """
    if ring.slot(asked) == ring.slot(now):
        return np.ones(len(slots), bool)
    return slots < min([ring.slot(asked), *answer.slots[-1:].tolist()])
