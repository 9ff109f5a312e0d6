"""Turns a source's answer into slots. Pure: judges rows, infers slots without a trade, finds where to go on from.

A source's answer is refused whole when its shape or its times are wrong (SourceError), and candle by candle when only a
number is: a single bad candle must not keep a market from its other 1,440.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracker.errors import SourceError
from tracker.models import FIELDS, PRICE, VOLUME, Candles

#: No price or traded volume of any market comes near; squares of it still sum without overflow.
LARGEST = 1e18


def accept(rows: Iterable[Sequence[Any]], covered: int, step: int, now: float, until: int | None = None) -> Candles:
    """Judges a source's ``rows`` of (slot in Unix seconds, price, volume), oldest first.

    See Candles for ``covered`` and ``until``.

    Raises SourceError for times that are no slots, unsorted, before ``covered`` or more than a step ahead of ``now``,
    and when not one candle of the answer is good. The candle just ahead of ``now`` is refused alone: the source's clock
    may run a little ahead.
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
    """Why a price and a volume cannot be stored, None if they can."""
    if type(price) not in (int, float) or type(volume) not in (int, float):
        return "not_a_number"
    if any(number != number or abs(number) == math.inf for number in (price, volume)):
        return "not_finite"
    if price <= 0 or volume < 0:
        return "negative"
    return "implausible" if price > LARGEST or volume > LARGEST else None


def resume(tail: np.ndarray, slots: np.ndarray, final: int) -> tuple[int, float] | None:
    """Where to go on from: (slot to ask the source from, price known there), or None where nothing is stored.

    ``tail`` (fields, n) are the newest stored values, of ``slots`` (n,), the first ``final`` of them final. The slot is
    the one before the last stored, so that two are always written again. It is an older one if that is not final, or if
    it is the last one with a trade: a slot without a trade was inferred from the source's silence, and is asked for
    again until a trade confirms it.
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
    """Candles with their silent slots filled up to the slot ``until``: (slots (n,), values (n, fields)).

    A slot without a trade has volume 0 and the price of the last trade; ``price`` is the one before the first candle,
    NaN if none is known, and then slots before the first candle stay missing. Refused slots stay as they are.
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
