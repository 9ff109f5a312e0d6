"""The steps of the main job, without Celery: refresh a watch list, fetch a market, evaluate markets.

Each step may run twice, late or not at all. A write says "this market, this slot, these values". Everything else is
computed from stored values.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from tracker import counts
from tracker.alerts import rules
from tracker.alerts.outbox import Outbox
from tracker.alerts.peers import Peers
from tracker.alerts.recorder import Found, Recorder
from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.models import FIELDS, VOLUME, Candles, Catalogue, Market, Metric
from tracker.series import candles, stats
from tracker.series.ring import WINDOW, Ring, Windows
from tracker.sources import Source, kept_answers, watchlist
from tracker.sources.watchlist import Wanted
from tracker.store.series import Store

log = logging.getLogger(__name__)

#: Newest slots read to find where a fetch resumes. Older slots are read only if these have no trade.
TAIL = 64
#: Markets whose windows are read and computed together: few enough for a core's cache, see store/raw.py.
CHUNK = 128
EVERYTHING = Wanted()
#: A tick is late if this part of its interval has passed. It is due after a tenth, see celeryconfig.py.
LATE = 0.6
#: Seconds after a slot's end until an answer has all of it: an exchange needs a moment to close a candle.
SETTLING = 1


def refresh(
    store: Store, name: str, source: Source, now: float, wanted: Wanted = EVERYTHING, earlier: Sequence[str] = ()
) -> list[str]:
    """Replaces the watch list of ``source`` by the ``wanted`` markets of its catalogue; returns their ids.

    Leaves out markets that one of the ``earlier`` sources watches: two sources would overwrite each other's samples.

    Raises SourceError and leaves the list unchanged, for example if the catalogue is suddenly empty or less than half
    as long. The error is counted. A catalogue that stays short for a day is accepted. Raises MustWait if the budget did
    not allow all requests: the next try sends the rest. The wait is noted.
    """
    try:
        taken = {market for each in earlier for market in store.watched(each)}
        with kept_answers.kept(store.redis, name):
            markets = _wanted(store, name, source, now, wanted, taken)
    except MustWait as wait:
        store.note(name, waiting=f"its catalogue is not read yet: {wait}")
        raise
    except SourceError as error:
        store.failed(name, now, error.reason, f"catalogue: {error.reason}: {error}")
        raise
    for market, before in watchlist.forerunners(markets, wanted.aliases).items():
        store.inherit(market, before, now)
    store.watch(name, markets)
    store.unnote(name, "waiting")
    return [market.id for market in markets]


def _wanted(
    store: Store, name: str, source: Source, now: float, wanted: Wanted, taken: Collection[str]
) -> list[Market]:
    listed = source.markets()
    if isinstance(listed, Catalogue) and listed.refused:
        log.warning("%s: refused %d markets of its catalogue", name, listed.refused)
        store.refused(name, "bad_market", listed.refused)
    status = store.status(name)
    try:
        watchlist.require_whole(len(listed), int(status.get("catalogue", 0)))
    except SourceError:
        since = float(status.get("catalogue_refused_since", now))
        if not listed or now - since < WINDOW:
            store.note(name, catalogue_refused_since=since)
            raise
    store.note(name, catalogue=len(listed))
    store.unnote(name, "catalogue_refused_since")
    left = [market for market in listed if market.id not in taken]
    if len(left) < len(listed):
        log.warning("%s: %d markets are left to sources before it in SOURCES", name, len(listed) - len(left))
    if not left:
        raise SourceError("all_taken", f"sources before {name} in SOURCES watch all its {len(listed)} markets")
    chosen = watchlist.select(left, wanted)
    if wanted.top and wanted.top < len(chosen):
        return watchlist.most_traded(chosen, listed, source.tickers(listed), wanted.top)
    return chosen


def claim(store: Store, name: str, task: str, interval: float, now: float) -> bool:
    """Whether ``task`` is the one to do the tick of the source ``name`` in the interval of ``now``. Counts the tick."""
    slot = int(now // interval * interval)
    if not store.claim(name, slot, task, life=2 * interval):
        log.info("%s: the tick of %d is taken", name, slot)
        counts.TICKS.labels(name, "taken").inc()
        return False
    before = float(store.status(name).get("last_tick", now))
    store.note(name, last_tick=f"{now:.3f}")
    counts.TICKS.labels(name, "late" if now - slot > LATE * interval else "claimed").inc()
    counts.TICKS.labels(name, "missed").inc(max(slot // interval - before // interval - 1, 0))
    return True


def due(store: Store, name: str, markets: Sequence[str], affordable: int | None) -> list[str]:
    """The ``markets`` that a tick asks for: all, or the ``affordable`` number with the oldest last request."""
    if affordable is None or affordable >= len(markets):
        chosen = list(markets)
    else:
        chosen = store.longest_ago(name, markets)[:affordable]
    store.note(name, deferred=len(markets) - len(chosen))
    return chosen


def fetch(store: Store, name: str, source: Source, market: str, clock: Clock, fresh: int = rules.FRESH_STEPS) -> None:
    """Stores all candles of ``market`` from where ``candles.resume`` says. Counts and logs faults of the source.

    ``fresh``: number of steps during which a slot may alert. It notes samples that come later for the evaluation.
    Raises MustWait if the budget did not allow all requests. The answers so far are stored; fetch the rest later.
    """
    asked = clock.now()
    listed, known, again, tail = _resume(store, name, market, asked)
    since, price = known or (store.ring.first(asked), float("nan"))
    if again is not None and again < since:
        since, price = max(again, store.ring.first(asked)), float("nan")
    try:
        answer = source.candles(listed or Market(market, "", ""), since)
    except SourceError as error:
        log.warning("%s: nothing stored of %s: %s: %s", name, market, error.reason, error)
        store.failed(name, clock.now(), error.reason, f"{market}: {error.reason}: {error}", market)
        return
    until = store.ring.slot(asked) if answer.until is None else answer.until
    slots, values = candles.fill(answer, until, store.ring.step, price)
    now = clock.now()
    kept = _kept(slots, answer, store.ring, asked, now)
    settled = _settled(store.ring, source.skew, asked, clock)
    if known is None and answer.until is not None:  # the rest of a first fetch is no absence
        store.note_begun(market, store.ring.slot(asked))
    elif known and (late := _late(store.ring, tail, slots[kept], values[kept], asked, fresh)) is not None:
        store.note_late(market, late)
    store.write(name, market, slots[kept], values[kept], now, known is None, answer.refused, settled)
    if again is not None:
        store.refetched(market, answer.until)
    if answer.refused:
        log.warning("%s: refused candles of %s: %s", name, market, answer.refused)
    if answer.until is not None:
        raise MustWait(1, f"{market}: stored up to {answer.until}, the budget pays for no more now")


def sample(store: Store, name: str, source: Source, clock: Clock) -> list[str]:
    """Stores the prices of all watched markets in the slot in progress, from one answer; returns its markets.

    The answer has no volumes and no past. Counts and logs faults of the source. Raises MustWait.
    """
    asked = clock.now()
    markets = list(store.watched(name).values())
    try:
        tickers = source.tickers(markets)
    except SourceError as error:
        log.warning("%s: no prices stored: %s: %s", name, error.reason, error)
        store.failed(name, clock.now(), error.reason, f"prices: {error.reason}: {error}")
        return []
    slot, now = store.ring.slot(asked), clock.now()
    if slot != store.ring.slot(now):
        log.warning("%s: prices not stored: their slot has ended meanwhile", name)
        return []
    if tickers:
        store.write_prices(name, {market: ticker.price for market, ticker in tickers.items()}, slot, now)
    return list(tickers)


@counts.EVALUATION.time()
def evaluate(
    store: Store, outbox: Outbox, active: Sequence[rules.Rule], markets: Sequence[str], now: float,
    wants_resolved: Collection[str] = (), fresh: int = rules.FRESH_STEPS, wants_late: Collection[str] = (),
    peers: Peers | None = None,
) -> Found:  # fmt: skip
    """Stores summaries and ranks of ``markets``. Records alerts of the ``active`` rules that begin or are over.

    ``wants_resolved``: the channels that get a notice when an alert is over. ``fresh``: number of steps during which a
    slot may alert. Alerts in older slots that nobody has looked at are recorded as late; ``wants_late``: the channels
    that get a digest of them. ``peers``: for rules that compare exchanges; by default there are no other exchanges.
    """
    step, first = store.ring.step, store.ring.first(now)
    overdue = store.overdue(markets, store.ring.slot(now) - fresh * step)
    decoded = store.walk(markets, now, CHUNK)
    recorder = Recorder(outbox, now, wants_resolved, wants_late)
    firing = {subject.partition(":")[2] for subject in recorder.firing}
    groups = rules.by_field(active)
    medians = (peers or Peers(store, ())).medians(markets, groups.get("price", ()), now)
    kept: dict[str, list[rules.Series]] = {field: [] for field in groups}
    since: dict[str, int] = {}
    looked_at: list[str] = []
    saves = []
    for some, (window, final) in decoded:
        metrics = [Metric(market, field) for field in FIELDS for market in some]
        values, final = window.reshape(len(metrics), store.ring.rows), np.tile(final, len(FIELDS))
        saves.append(store.begin_save(metrics, stats.describe(values, step, final), now))
        stats.drop_unsettled(values, final)
        for market, slot, newest in _overdue(some, values, overdue, first, step):
            if newest > slot:
                since |= {Metric(market, field).id: slot for field in FIELDS}
            if newest >= store.ring.slot(now) - fresh * step or slot < first:
                looked_at.append(market)
        for field, group in groups.items():
            series = rules.of_markets(some, values, step, field)
            if any(rule.NEEDS_PEERS for rule in group):
                series = medians.beside(series)
            rows = set(rules.screen(series, group, fresh).tolist())
            rows |= {row for row, metric in enumerate(series.metrics) if metric in firing or metric in since}
            if rows:
                kept[field].append(series.take(np.array(sorted(rows))))
    store.finish(saves)
    counts.EVALUATED.inc(len(markets) * len(FIELDS))
    for field, parts in kept.items():
        if parts:
            joined = rules.Series.joined(parts)
            recorder.look_back(groups[field], joined, since, first, fresh)
            recorder.check(groups[field], joined, first, fresh)
    store.looked_at(looked_at)
    return recorder.found


def leavers(store: Store, sources: Sequence[str]) -> list[str]:
    """Markets that have ranks but are on no watch list. Evaluate them until their samples are gone."""
    watched = {market for source in sources for market in store.watched(source)}
    ranked = {Metric.parse(metric).market for field in FIELDS for metric in store.ranking(field)}
    return sorted(ranked - watched)


def _overdue(
    markets: Sequence[str], values: np.ndarray, overdue: Mapping[str, int], first: int, step: int
) -> Iterator[tuple[str, int, int]]:
    """Yields (market, slot from which it is overdue, its newest slot); ``values`` as in ``evaluate``."""
    if overdue.keys() & set(markets):
        newest, _ = stats.last_present(values[: len(markets)])
        for market, column in zip(markets, newest.tolist(), strict=True):
            if market in overdue:
                yield market, overdue[market], first + column * step


def _late(ring: Ring, tail: Windows, slots: np.ndarray, values: np.ndarray, asked: float, fresh: int) -> int | None:
    """The first of ``slots`` (n,) that is hardly fresh, and whose ``values`` (n, fields) are not those in ``tail``."""
    stored = tail.values[:, 0].T
    column = (slots - ring.slot(asked)) // ring.step + len(stored) - 1
    old = (column >= 0) & (column < len(stored) - fresh)
    changed = (stored[column[old]] != values[old]).any(axis=1)
    return next(iter(slots[old][changed].tolist()), None)


def _resume(
    store: Store, name: str, market: str, now: float
) -> tuple[Market | None, tuple[int, float] | None, int | None, Windows]:
    slots = store.ring.slots(now)
    listed, tail, again = store.newest(name, market, now, min(TAIL, len(slots)))
    if not (tail.values[VOLUME] > 0).any():  # the silence began earlier: ask for all of it again
        tail = store.windows([market], now)
    return listed, candles.resume(tail.values[:, 0], slots[-tail.values.shape[2] :], int(tail.final[0])), again, tail


def _settled(ring: Ring, skew: float | None, asked: float, clock: Clock) -> int:
    """The slot before which all are final. The source was asked at ``asked``; its clock is ``skew`` seconds ahead.

    If its clock is behind ours, its slots end later. A skew below a second means nothing: servers send whole seconds.
    """
    behind = max(-(skew or 0) - 1, 0) * clock.speed
    return ring.slot(asked - SETTLING - behind)


def _kept(slots: np.ndarray, answer: Candles, ring: Ring, asked: float, now: float) -> np.ndarray:
    """Which slots to write: bool (n,). If a slot has ended since the request, only slots that had ended before it.

    After a slow answer or a stopped process, an unfinished candle comes late. It must not replace the finished one.
    Nor must a slot without a trade that was inferred from the silence of a source that lags.
    """
    if ring.slot(asked) == ring.slot(now):
        return np.ones(len(slots), bool)
    return np.asarray(slots < min([ring.slot(asked), *answer.slots[-1:].tolist()]))
