"""What was around an alert, in lines of text: its price and rank, and the same pair on other exchanges."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tracker.alerts.peers import Peers
from tracker.models import PRICE, VOLUME, Alert, Metric
from tracker.series.ring import HOUR
from tracker.settings import Settings
from tracker.store.connection import connect
from tracker.store.series import Store

log = logging.getLogger(__name__)

#: Seconds that a notice waits for its context. Then it is sent without.
LONGEST = 1.0
#: Seconds for the store to answer one command, and of silence after a failure.
PATIENCE, PAUSE = 0.5, 5
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
    """Reads what is around alerts, on a connection of its own: a slow store does not hold up notices."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._reader = ThreadPoolExecutor(1, "context")

    def of(self, alert: Alert) -> tuple[str, ...]:
        """What is around ``alert``, a line each. Empty if that is not known within LONGEST seconds."""
        if alert.metric.startswith("source:"):
            return ()
        reading = self._reader.submit(self._read, alert)
        try:
            return reading.result(LONGEST)
        except TimeoutError:
            reading.cancel()
            log.warning("%s: its notice goes without context: the store is slow", alert.id)
            return ()

    def _read(self, alert: Alert) -> tuple[str, ...]:
        try:
            return tuple(self._lines(Metric.parse(alert.metric)))
        except Exception as error:  # whatever it is, the notice is worth more
            log.warning("%s: its notice goes without context: %s: %s", alert.id, type(error).__name__, error)
            return ()

    def _lines(self, metric: Metric) -> list[str]:
        now = self._settings.clock.now()
        view = self._store.view(metric.market, [metric, Metric(metric.market, "price")], self._settings.sources, now)
        standing, priced = view.standings
        quote = f" {view.market.quote}" if view.market else ""
        facts = [f"price {priced.summary.last:.6g}{quote}"] if priced else []
        if priced and np.isfinite(priced.summary.change_1h):
            facts.append(f"{priced.summary.change_1h:+.2%} in 1 h".replace("%", " %"))
        facts += [f"rank {standing.rank.text} by {metric.field}"] if standing else []
        others = self._elsewhere(metric, f" {metric.unit(view.market)}" if view.market else "", now)
        return [line for line in (", ".join(facts), others) if line]

    def _elsewhere(self, metric: Metric, unit: str, now: float) -> str:
        """The newest values of the same pair on other exchanges, beside this one's or beside their own last hour."""
        here, *others = self._newest([metric.market, *self._peers.of(metric.market, now)], now)
        shown = [each for each in others if not np.isnan([each.price, each.volume][metric.column])]
        shown.sort(key=lambda each: (-np.nan_to_num(each.usual), each.market))
        told = []
        for each in shown[:NAMED]:
            value, beside = f"{each.price:.6g}", _percent(each.price, here.price)
            if metric.column == VOLUME:
                value, beside = f"{each.volume:.6g}", _times(each.volume, each.usual)
            told.append(f"{each.exchange} {value}{unit}{beside}")
        told += [f"and {len(shown) - NAMED} more"] if len(shown) > NAMED else []
        return f"{metric.field} elsewhere: {', '.join(told)}" if told else ""

    def _newest(self, markets: Sequence[str], now: float) -> list[Newest]:
        ring = self._store.ring
        count = min(HOUR // ring.step + RECENT, ring.rows)
        values, final = self._store.tails(markets, now, count)
        return [
            Newest(market, *_last(values[:, row, :known]))
            for row, (market, known) in enumerate(zip(markets, final.tolist(), strict=True))
        ]

    @cached_property
    def _store(self) -> Store:
        settings = self._settings
        redis = connect(settings.redis_url, tries=1, patience=PATIENCE, pause=PAUSE, local=settings.redis_socket)
        return Store(redis, settings.ring)

    @cached_property
    def _peers(self) -> Peers:
        return Peers(self._store, self._settings.sources)


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


def _percent(price: float, here: float) -> str:
    return f" ({price / here - 1:+.2%})".replace("%", " %") if here > 0 else ""


def _times(volume: float, usual: float) -> str:
    return f" ({volume / usual:.1f} x its last hour)" if usual > 0 else ""
