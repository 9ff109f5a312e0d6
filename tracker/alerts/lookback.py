"""When would a rule that is not saved yet have fired over the stored 24 hours? In numbers, for the API.

The functions are those of the backtest. All metrics are counted; those with the most alerts are shown one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from tracker.alerts import backtest, rules
from tracker.alerts.backtest import Past, Tally
from tracker.alerts.rules import LevelRule, Rule, Series
from tracker.alerts.rules.spread import pair_of
from tracker.models import FIELDS, Metric, matches
from tracker.store.series import Store

#: At most so many metrics are looked back on at once: about a second of work.
MOST = 10_000
#: So many metrics are shown one by one.
SHOWN = 100
#: Markets read at a time.
CHUNK = 64
#: Kinds that cannot be looked back on -> why.
UNSTORED = {
    "rank": "a rank is by the 24 h before it, and ranks of the past are not stored",
    "stale": "when a source answered is not stored",
}


@dataclass(frozen=True)
class LookedBack:
    """What a rule would have done on ``metrics``, the number of metrics, from ``start`` (Unix seconds) on.

    above: slots above the limit; edges: rising edges; alerts: edges outside the cooldown; levelless: metrics without a
    level in any slot. shown: those with the most alerts, the most first.
    """

    start: int
    step: int
    metrics: int
    above: int
    edges: int
    alerts: int
    levelless: int
    shown: list[Tally]


def unstored(rule: Rule) -> str:
    """Why ``rule`` cannot be looked back on; empty if it can."""
    return UNSTORED.get(rule.KIND, "")


def chosen(store: Store, sources: Sequence[str], rule: LevelRule, glob: str) -> list[str]:
    """The metrics of watched markets that both ``rule`` and ``glob`` match."""
    ids = [Metric(market, field).id for market in _watched(store, sources) for field in FIELDS]
    return [id for id in ids if matches((glob,), id) and rule.matches(id)]


def look_back(store: Store, sources: Sequence[str], rule: LevelRule, metrics: Sequence[str], now: float) -> LookedBack:
    """What ``rule`` would have done on ``metrics``, at least one, over the 24 hours before ``now``."""
    everywhere = _watched(store, sources) if rule.NEEDS_PEERS else []
    found: list[str] = []
    above = levelless = 0
    parts = []
    for past in _pasts(store, rule, metrics, everywhere, now):
        window = Series(past.values, past.step, (), past.beside, closed=True)
        level, over, rising = rules.look_back(window, rule, past.values.shape[1] - 1)
        found += past.metrics
        above += int(np.count_nonzero(over))
        levelless += int(np.isnan(level).all(axis=1).sum())
        parts.append(rising)
    edges = np.concatenate(parts)
    alerts = outside_cooldown(edges, max(rule.cooldown, 1) / past.step).sum(axis=1)
    order = sorted(range(len(found)), key=lambda row: (-alerts[row], found[row]))[:SHOWN]
    best = [found[row] for row in order if alerts[row]]
    tallies = {
        tally.metric: tally for past in _pasts(store, rule, best, everywhere, now) for tally in backtest.run(past, rule)
    }
    return LookedBack(
        store.ring.first(now), store.ring.step, len(found), above, int(edges.sum()), int(alerts.sum()), levelless,
        [tallies[metric] for metric in best],
    )  # fmt: skip


def outside_cooldown(edges: np.ndarray, slots: float) -> np.ndarray:
    """Which of ``edges`` (n, k) make an alert: those without an alert in the ``slots`` before them."""
    found, last = np.zeros(edges.shape, bool), np.full(len(edges), -np.inf)
    for column in np.flatnonzero(edges.any(axis=0)).tolist():
        found[:, column] = edges[:, column] & (column - last >= slots)
        last[found[:, column]] = column
    return found


def _watched(store: Store, sources: Sequence[str]) -> list[str]:
    return sorted({market for source in sources for market in store.watched(source)})


def _pasts(
    store: Store, rule: LevelRule, metrics: Sequence[str], everywhere: Sequence[str], now: float
) -> Iterator[Past]:
    """Yields the past of ``metrics`` in chunks. Each has whole pairs, with the other markets of ``everywhere``."""
    markets = {Metric.parse(metric).market for metric in metrics}
    pairs = {pair_of(market) for market in markets}
    markets |= {market for market in everywhere if pair_of(market) in pairs}
    of_pairs = groupby(sorted(markets, key=lambda market: (pair_of(market), market)), pair_of)
    wanted = set(metrics)
    for chunk in _chunks([*each] for _, each in of_pairs):
        past = backtest.of_markets(store, chunk, now)
        yield past.only([metric for metric in past.metrics if metric in wanted], rule)


def _chunks(groups: Iterable[list[str]]) -> Iterator[list[str]]:
    """Whole ``groups`` joined to chunks of CHUNK or a few more."""
    chunk: list[str] = []
    for group in groups:
        chunk += group
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
