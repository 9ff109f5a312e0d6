"""Turns a source's answer into slots. Pure: judges rows, infers slots without a trade, finds where to resume.

If the shape or the times of an answer are wrong, the whole answer is refused (SourceError). If only a number is wrong,
its candle is refused: a single bad candle must not cost a market its other 1,440.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracker.errors import SourceError
from tracker.models import FIELDS, PRICE, VOLUME, Candles

#: No price or volume of any market comes near this. Sums of its squares do not overflow.
LARGEST = 1e18


def accept(rows: Iterable[Sequence[Any]], covered: int, step: int, now: float, until: int | None = None) -> Candles:
    """Judges a source's ``rows`` of (slot in Unix seconds, price, volume), oldest first.

    See Candles for ``covered`` and ``until``. Raises SourceError if a time is no slot, out of order, before ``covered``
    or more than a step ahead of ``now``, and if no candle of the answer is good. If a candle is ahead of ``now`` by
    less than that, only this candle is refused: the source's clock may run a little ahead.
    """
    slots, values, refused_slots = [], [], set()
    refused: Counter[str] = Counter()
    previous = covered - step
    for slot, price, volume in rows:
        if type(slot) is not int or slot % step or abs(slot) > 1e12:
            raise SourceError("bad_time", f"a candle opens at {slot!r:.40}, which is no multiple of {step} s")
        if slot <= previous:
            raise SourceError("unsorted", f"a candle opens at {slot}, after one at {previous}")
        if slot > now + step:
            raise SourceError("future", f"a candle opens at {slot}, {slot - now:.0f} s ahead of our clock")
        previous = slot
        if reason := "future" if slot > now else fault(price, volume):
            refused[reason] += 1
            refused_slots.add(slot)
        else:
            slots.append(slot)
            values.append((price, volume))
    if refused_slots and not slots:
        raise SourceError(next(iter(refused)), f"every candle was refused: {dict(refused)}")
    return Candles(
        np.array(slots, np.int64),
        np.array(values, np.float64).reshape(len(slots), len(FIELDS)),
        covered,
        dict(refused),
        frozenset(refused_slots),
        until,
    )


def fault(price: Any, volume: Any) -> str | None:
    """Why this price and volume cannot be stored; None if they can."""
    if type(price) not in (int, float) or type(volume) not in (int, float):
        return "not_a_number"
    if any(number != number or abs(number) == math.inf for number in (price, volume)):
        return "not_finite"
    if price <= 0 or volume < 0:
        return "negative"
    return "implausible" if price > LARGEST or volume > LARGEST else None


def resume(tail: np.ndarray, slots: np.ndarray, final: int) -> tuple[int, float] | None:
    """Where to resume: (slot to ask the source from, price known there), or None if nothing is stored.

    ``tail`` (fields, n) has the newest stored values, of the ``slots`` (n,); the first ``final`` slots are final. The
    answer is the earliest of three slots: the last stored but one, so that two are always written again; the first that
    is not final; and the last with a trade. The source's silence implied the slots after that one, so they are asked
    for again until a trade confirms them.
    """
    stored = np.flatnonzero(~np.isnan(tail[PRICE]))
    if not len(stored):
        return None
    traded = np.flatnonzero(tail[VOLUME] > 0)
    confirmed = traded[-1] if len(traded) else stored[0]
    since = max(min(stored[-1] - 1, confirmed, max(final, stored[0])), 0)
    before = stored[stored <= since]
    return int(slots[since]), float(tail[PRICE, before[-1]]) if len(before) else math.nan


def fill(candles: Candles, until: int, step: int, price: float) -> tuple[np.ndarray, np.ndarray]:
    """Fills the slots without a trade up to the slot ``until``. Returns (slots (n,), values (n, fields)).

    A slot without a trade gets volume 0 and the price of the last trade. ``price`` is the price before the first
    candle. If it is NaN, slots before the first candle stay missing. Refused slots are left out.
    """
    if math.isnan(price) and not len(candles.slots):
        return candles.slots, candles.values
    first = int(candles.slots[0]) if math.isnan(price) else candles.covered
    last = max([until, *candles.slots[-1:].tolist()])  # the source's clock may be ahead
    slots = np.arange(first, last + 1, step)
    traded = (candles.slots - first) // step
    values = np.zeros((len(slots), len(FIELDS)))
    values[traded] = candles.values
    last_trade = np.full(len(slots), -1)
    last_trade[traded] = np.arange(len(traded))
    prices = np.append(candles.values[:, PRICE], price)  # index -1: no candle yet
    values[:, PRICE] = prices[np.maximum.accumulate(last_trade)]
    if candles.refused_slots:
        kept = ~np.isin(slots, list(candles.refused_slots))
        return slots[kept], values[kept]
    return slots, values
