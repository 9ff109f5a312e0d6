"""What was around an alert, in lines of text: its price and rank, and the same pair on other exchanges."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tracker.alerts.peers import Peers
from tracker.alerts.rules import Amount
from tracker.models import METRIC_ID, PRICE, VOLUME, Alert, Metric
from tracker.series.ring import HOUR
from tracker.store.series import Store

#: A line names so many exchanges, those that traded most.
NAMED = 4
#: A market's newest value is one of its newest so many slots.
RECENT = 5


class Newest(NamedTuple):
    """A market's newest price and volume of a final slot, and the mean volume of the hour before. NaN if unknown."""

    market: str
    price: float
    volume: float
    usual: float

    @property
    def exchange(self) -> str:
        return self.market.partition(":")[0]


class Context:
    """Reads what is around alerts. Every method may raise StoreError; ``now`` is in Unix seconds."""

    def __init__(self, store: Store, sources: Sequence[str]):
        self._store, self._sources = store, sources
        self._peers = Peers(store, sources)

    def of(self, alert: Alert, now: float) -> tuple[str, ...]:
        """What is around ``alert``, a line each; empty for an alert about a source."""
        if not METRIC_ID.fullmatch(alert.metric):
            return ()
        metric = Metric.parse(alert.metric)
        view = self._store.view(metric.market, [metric, Metric(metric.market, "price")], self._sources, now)
        standing, priced = view.standings
        quote = f" {view.market.quote}" if view.market else ""
        facts = [f"price {Amount(priced.summary.last):.6g}{quote}"] if priced else []
        if priced and np.isfinite(priced.summary.change_1h):
            facts.append(f"{_percent(priced.summary.change_1h)} in 1 h")
        facts += [f"rank {standing.rank.text} by standard deviation of {metric.field}"] if standing else []
        others = self._elsewhere(metric, f" {metric.unit(view.market)}" if view.market else "", now)
        return tuple(line for line in (", ".join(facts), others) if line)

    def _elsewhere(self, metric: Metric, unit: str, now: float) -> str:
        """The newest values of the same pair on other exchanges, beside this one's or beside their own last hour."""
        here, *others = self._newest([metric.market, *self._peers.of(metric.market, now)], now)
        shown = [each for each in others if not np.isnan([each.price, each.volume][metric.column])]
        shown.sort(key=lambda each: (-np.nan_to_num(each.usual), each.market))
        told = []
        for each in shown[:NAMED]:
            value, beside = f"{Amount(each.price):.6g}", _away(each.price, here.price)
            if metric.column == VOLUME:
                value, beside = f"{Amount(each.volume):.6g}", _times(each.volume, each.usual)
            told.append(f"{each.exchange} {value}{unit}{beside}")
        told += [f"and {len(shown) - NAMED} more"] if len(shown) > NAMED else []
        return f"{metric.field} elsewhere: {', '.join(told)}" if told else ""

    def _newest(self, markets: Sequence[str], now: float) -> list[Newest]:
        ring = self._store.ring
        count = min(HOUR // ring.step + RECENT, ring.rows)
        values, final = self._store.tails(markets, now, count)
        values[:, np.arange(count) >= final[:, None]] = np.nan
        return [Newest(market, *_last(values[:, row])) for row, market in enumerate(markets)]


def _last(values: np.ndarray) -> tuple[float, float, float]:
    """Price and volume of the newest slot that has a price, and the mean volume of the slots before it.

    values: (fields, slots). All NaN if none of the last RECENT slots has one.
    """
    present = np.flatnonzero(~np.isnan(values[PRICE]))
    if not len(present) or present[-1] < values.shape[1] - RECENT:
        return np.nan, np.nan, np.nan
    at = int(present[-1])
    before = values[VOLUME, :at]
    before = before[~np.isnan(before)]
    return float(values[PRICE, at]), float(values[VOLUME, at]), float(before.mean()) if len(before) else np.nan


def _percent(share: float) -> str:
    return f"{share:+.2%}".replace("%", " %")


def _away(price: float, here: float) -> str:
    return f" ({_percent(price / here - 1)})" if here > 0 else ""


def _times(volume: float, usual: float) -> str:
    return f" ({volume / usual:.1f} x its last hour)" if usual > 0 else ""
