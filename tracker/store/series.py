"""The series of each market in Redis, and the Store: series, ranks and sources in one. Keys: layout.py."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tracker.models import FIELDS, PRICE, Market, Metric, Standing
from tracker.series.ring import HOUR, WINDOW, Windows
from tracker.store.connection import PREFIX
from tracker.store.layout import (
    PACKED,
    STANDING,
    answer_noted,
    ask_standing,
    first_market,
    flat,
    joined,
    markets_key,
    readable,
    ring_key,
    standing_of,
    status_key,
    summary_key,
)
from tracker.store.ranks import Ranks
from tracker.store.raw import Command
from tracker.store.sources import Sources

#: Hash, market -> slot from which it is fetched again, because stored samples may be lost (repairs.py).
REFETCH = f"{PREFIX}:refetch"
#: Sorted set, market -> slot from which samples came too late for the rules, and are not looked at yet.
LATE = f"{PREFIX}:overdue"
#: Hash, market -> slot from which it is watched, while its first fetch is not finished.
BEGUN = f"{PREFIX}:begun"
#: A ring outlives its window by an hour, so that a market that comes back still differs from a new one.
RING_LIFE = WINDOW + HOUR
#: Bytes of a block that is freed before many rings are read. From then on glibc keeps up to twice as much freed memory
#: for the next chunk. Otherwise every chunk gets fresh pages from the kernel, which costs half as much CPU again.
FREED = 1 << 23


class View(NamedTuple):
    """A market, and the standings and windows of some of its metrics.

    market: None if no source watches it. values: float64 (metrics, rows), as ``windows`` returns them; the first
    ``final`` slots are final. version: of these metrics, as ``version`` returns it.
    """

    market: Market | None
    standings: list[Standing | None]
    values: np.ndarray
    final: int
    version: bytes


class Store(Ranks, Sources):
    """What is stored of markets and sources. Every method may raise StoreError; every write may be repeated."""

    def newest(self, source: str, market: str, now: float, count: int) -> tuple[Market | None, Windows, int | None]:
        """Returns (the market, its newest ``count`` slots, the slot to refetch it from).

        The market is None if it is not on the watch list of ``source``; the last is None if no sample is lost.
        """
        ranges = self.ring.tail_ranges(now, count)
        listed, again, *pieces = self._raw.ask([
            ("HGET", markets_key(source), market),
            ("HGET", REFETCH, market),
            *(("GETRANGE", ring_key(market), first, last) for first, last in ranges),
        ])  # fmt: skip
        tail = self.ring.decode_tail(pieces, now, count)
        return first_market(market, [listed]), tail, None if again is None else int(again)

    def refetched(self, market: str, until: int | None) -> None:
        """Notes that ``market`` was fetched again up to the slot ``until``; None: up to now."""
        self._raw.ask([("HDEL", REFETCH, market) if until is None else ("HSET", REFETCH, market, until)])

    def note_late(self, market: str, slot: int) -> None:
        """Notes that samples of ``market`` from ``slot`` on come too late for the rules. The earliest slot counts."""
        self._raw.ask(_late_noted({market: slot}))

    def note_begun(self, market: str, slot: int) -> None:
        """Notes that the first fetch of ``market`` began in ``slot`` and is not finished: what is older is not late."""
        self._raw.ask([("HSETNX", BEGUN, market, slot), ("EXPIRE", BEGUN, WINDOW)])

    def overdue(self, markets: Sequence[str], fresh: int) -> dict[str, int]:
        """Market -> slot from which its samples are to be looked at, though they are older than the slot ``fresh``.

        That is noted, or its last evaluation was before ``fresh``; then this notes it. Other markets are left out.
        """
        if not markets:
            return {}
        field = list(FIELDS)[PRICE]
        ids = [Metric(market, field).id for market in markets]
        noted, begun, summaries = self._raw.ask(
            [("ZMSCORE", LATE, *markets), ("HMGET", BEGUN, *markets), ("HMGET", summary_key(field), *ids)]
        )
        known = {market: int(slot) for market, slot in zip(markets, noted, strict=True) if slot is not None}
        pairs = zip(markets, summaries, strict=True)
        last = {market: PACKED.unpack(raw)[0] for market, raw in pairs if readable(raw)}
        new = {market: slot for market, slot in last.items() if slot < min(fresh, known.get(market, fresh))}
        if new:
            self._raw.ask(_late_noted(new))
        watched = {market: int(slot or 0) for market, slot in zip(markets, begun, strict=True)}
        return {market: max(slot, watched[market]) for market, slot in (known | new).items()}

    def looked_at(self, markets: Sequence[str]) -> None:
        """Removes what is noted of late samples of ``markets``."""
        if markets:
            self._raw.ask([("ZREM", LATE, *markets), ("HDEL", BEGUN, *markets)])

    def windows(self, markets: Sequence[str], now: float) -> Windows:
        """The windows of ``markets``, one column a field."""
        return self._windows(self._begin_windows(markets), now)

    def tails(self, markets: Sequence[str], now: float, count: int) -> Windows:
        """The newest ``count`` slots of ``markets``: values (fields, markets, count). One exchange with the server."""
        ranges = self.ring.tail_ranges(now, count)
        asked: list[Command] = [
            ("GETRANGE", ring_key(market), first, last) for market in markets for first, last in ranges
        ]
        return self.ring.decode_tail(self._raw.ask(asked) if asked else [], now, count)

    def walk(self, markets: Sequence[str], now: float, count: int) -> Iterator[tuple[Sequence[str], Windows]]:
        """Yields (markets, windows) in chunks of ``count``. The server sends the next chunk while the caller works."""
        np.empty(FREED // 8)  # and freed: see FREED
        chunks = (markets[start : start + count] for start in range(0, len(markets), count))
        begun = ((chunk, self._begin_windows(chunk)) for chunk in chunks)
        ahead = next(begun, None)
        while ahead:
            chunk, batch = ahead
            windows = self._windows(batch, now)
            ahead = next(begun, None)
            yield chunk, windows

    def _begin_windows(self, markets: Sequence[str]) -> Any:
        return self._raw.begin([("MGET", *map(ring_key, markets))] if markets else [])

    def _windows(self, batch: Any, now: float) -> Windows:
        rings: list[bytes | None] = next(iter(self._raw.finish(batch)), [])
        return self.ring.decode(rings, now)

    def write(
        self, source: str, market: str, slots: np.ndarray, values: np.ndarray, now: float,
        new: bool = False, refused: Mapping[str, int] = MappingProxyType({}), settled: int | None = None,
    ) -> None:  # fmt: skip
        """Stores what ``source`` answered for ``market``: ``values`` (n, fields) at ``slots`` (n,), ascending.

        Slots before ``settled`` (Unix seconds; None: the slot in progress) are final. ``refused``: reason -> number of
        candles of the answer. ``new``: the market may have no ring yet. A new ring gets its whole size at once, because
        SETRANGE beyond a string's end reserves twice its size.
        """
        noted = answer_noted(source, [market], now, int(slots[-1]) if len(slots) else None)
        noted += [("HINCRBY", status_key(source), f"refused:{reason}", count) for reason, count in refused.items()]
        self._raw.ask_in_turn(self._written(market, slots, values, now, new, settled), noted)

    def _written(
        self, market: str, slots: np.ndarray, values: np.ndarray, now: float, new: bool, settled: int | None = None
    ) -> Iterator[Command]:
        key = ring_key(market)
        if new:
            yield "SET", key, bytes(self.ring.size), "NX"
        for offset, run in self.ring.encode(slots, values, now, settled):
            yield "SETRANGE", key, offset, run
        yield "EXPIRE", key, RING_LIFE

    def _slot_written(self, markets: Sequence[str], slot: int, values: np.ndarray, final: bool) -> list[Command]:
        offset, rows = self.ring.encode_slot(slot, values, final)
        return [("SETRANGE", ring_key(market), offset, row) for market, row in zip(markets, rows, strict=True)]

    def write_prices(self, source: str, prices: Mapping[str, float], slot: int, now: float) -> None:
        """Stores the prices (market -> price) that ``source`` gave in one answer, in ``slot``, now in the window.

        The volumes of that slot are missing. Markets without a ring get one. The price sampled last stays, because no
        source tells a price of the past. So the slot is final once it has ended.
        """
        markets = list(prices)
        values = np.full((len(markets), len(FIELDS)), np.nan)
        values[:, PRICE] = list(prices.values())
        present = self._raw.ask([("EXPIRE", ring_key(market), RING_LIFE) for market in markets])
        absent = [market for market, there in zip(markets, present, strict=True) if not there]
        made: list[Command] = [
            ("SET", ring_key(market), bytes(self.ring.size), "NX", "EX", RING_LIFE) for market in absent
        ]
        written = made + self._slot_written(markets, slot, values, final=True)
        self._raw.ask_in_turn(written, answer_noted(source, markets, now, slot))

    def inherit(self, market: str, before: str, now: float) -> None:
        """Copies the final samples of the market ``before`` to ``market``, in slots where ``market`` has none."""
        values, final = self.windows([market, before], now)
        own, old = values[:, 0].T, values[:, 1].T
        taken = np.isnan(own).all(axis=1) & ~np.isnan(old).all(axis=1) & (np.arange(len(old)) < final[1])
        if not taken.any():
            return
        self._raw.ask(self._written(market, self.ring.slots(now)[taken], old[taken], now, new=True))

    def answered(self, markets: Sequence[str]) -> int:
        """How many of ``markets`` got an answer from their source in the last day. An answer without trades counts."""
        return self._raw.ask([("EXISTS", *map(ring_key, markets))])[0] if markets else 0

    def view(self, market: str, metrics: Sequence[Metric], sources: Sequence[str], now: float) -> View:
        """Reads ``market`` and its ``metrics`` in one exchange with the server."""
        asked: list[Command] = [("HGET", markets_key(source), market) for source in sources]
        for metric in metrics:
            asked += ask_standing(metric)
        ring_of: Command = ("GET", ring_key(market))
        *replies, ring = self._raw.ask_in_turn(asked, [ring_of])  # after the versions: never older than they are
        found, standings = replies[: len(sources)], replies[len(sources) :]
        each = [standings[at : at + STANDING] for at in range(0, len(standings), STANDING)]
        values, [final] = self.ring.decode([ring], now, [metric.column for metric in metrics])
        return View(
            first_market(market, found),
            [standing_of(replies) for replies in each],
            values[:, 0],
            int(final),
            joined(raw for raw, *_ in each),
        )


def _late_noted(slots: Mapping[str, int]) -> list[Command]:
    """Notes the slots (market -> slot), where no earlier one is noted."""
    pairs = flat((slot, market) for market, slot in slots.items())
    return [("ZADD", LATE, "LT", *pairs), ("EXPIRE", LATE, WINDOW)]
