"""Series, ranks, watch lists and statuses in Redis. Only this module reads and writes them. Keys: layout.py."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from redis import Redis

from tracker.models import FIELDS, PRICE, Market, Metric, Standing
from tracker.series.ring import DAY, HOUR, Ring, Windows
from tracker.series.stats import Stats
from tracker.store.connection import PREFIX, translated
from tracker.store.layout import (
    NUMBERS,
    STANDING,
    SUMMARY,
    VERSION,
    answer_noted,
    answered_key,
    ask_standing,
    asked_key,
    cv_key,
    first_market,
    flat,
    hashed,
    joined,
    market_of,
    markets_key,
    rank_key,
    readable,
    ring_key,
    scored,
    standing_of,
    status_key,
    summary_key,
)
from tracker.store.raw import Batch, Command, RawPipeline

#: Hash, market -> slot from which it is fetched again, because stored samples may be lost (repairs.py).
REFETCH = f"{PREFIX}:refetch"
#: A ring outlives its window by an hour, so that a market that comes back still differs from a new one.
RING_LIFE = DAY + HOUR
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


class Store:
    """What is stored of markets and sources. Every method may raise StoreError; every write may be repeated."""

    def __init__(self, redis: Redis, ring: Ring):
        self.redis: Any = redis  # redis-py's types allow for text answers, which this client never gets
        self.ring = ring
        self._raw = RawPipeline.of(redis)

    # Series

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

    def windows(self, markets: Sequence[str], now: float) -> Windows:
        """The windows of ``markets``, one column a field."""
        return self._windows(self._begin_windows(markets), now)

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

    def _begin_windows(self, markets: Sequence[str]) -> Batch:
        return self._raw.begin([("MGET", *map(ring_key, markets))] if markets else [])

    def _windows(self, batch: Batch, now: float) -> Windows:
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
        self._raw.ask([
            *self._written(market, slots, values, now, new, settled),
            *answer_noted(source, [market], now, int(slots[-1]) if len(slots) else None),
            *(("HINCRBY", status_key(source), f"refused:{reason}", count) for reason, count in refused.items()),
        ])  # fmt: skip

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
        self._raw.ask([
            *(("SET", ring_key(market), bytes(self.ring.size), "NX", "EX", RING_LIFE) for market in absent),
            *self._slot_written(markets, slot, values, final=True),
            *answer_noted(source, markets, now, slot),
        ])  # fmt: skip

    def inherit(self, market: str, before: str, now: float) -> None:
        """Copies the final samples of the market ``before`` to ``market``, in slots where ``market`` has none."""
        values, final = self.windows([market, before], now)
        own, old = values[:, 0].T, values[:, 1].T
        taken = np.isnan(own).all(axis=1) & ~np.isnan(old).all(axis=1) & (np.arange(len(old)) < final[1])
        if not taken.any():
            return
        self._raw.ask(self._written(market, self.ring.slots(now)[taken], old[taken], now, new=True))

    # Summaries and ranks

    def begin_save(self, metrics: Sequence[Metric], stats: Stats, now: float) -> Batch:
        """Begins to store the summaries and rank entries of ``metrics`` (n). A metric without samples loses both.

        They are stored once ``settle`` has returned.
        """
        packed = self._packed(stats, now)
        scores = {rank_key: stats.stddev.tolist(), cv_key: stats.cv.tolist()}
        commands: list[Command] = []
        for field in {metric.field for metric in metrics}:
            rows = [row for row, metric in enumerate(metrics) if metric.field == field]
            ids = [metrics[row].id for row in rows]
            for key, values in scores.items():
                commands += scored(key(field), ids, [values[row] for row in rows])
            commands += hashed(summary_key(field), ids, [packed[row] for row in rows])
        return self._raw.begin([*commands, ("INCR", VERSION)])

    def settle(self, saves: Iterable[Batch]) -> None:
        """Waits for all of ``saves``."""
        for save in saves:
            self._raw.finish(save)

    def _packed(self, stats: Stats, now: float) -> list[bytes | None]:
        """The summary of each series as it is stored; None without statistics."""
        table = np.empty(len(stats.at), SUMMARY)
        table["slot"] = self.ring.first(now) + stats.at * self.ring.step
        table["at"] = now
        for name in NUMBERS:
            table[name] = getattr(stats, name)
        raw, width = table.tobytes(), SUMMARY.itemsize
        present = (~np.isnan(stats.stddev)).tolist()
        return [raw[row * width : (row + 1) * width] if present[row] else None for row in range(len(table))]

    def summaries(self, field: str) -> tuple[list[str], np.ndarray]:
        """Returns (metric ids of ``field`` in no order, their summaries): a list, and a table (n,) of dtype SUMMARY."""
        [known] = self._raw.ask([("HGETALL", summary_key(field))])
        stored = {id: raw for id, raw in known.items() if readable(raw)}
        return [id.decode() for id in stored], np.frombuffer(b"".join(stored.values()), SUMMARY)

    def version(self, metrics: Sequence[Metric] = ()) -> bytes:
        """Changes when one of ``metrics`` is evaluated. Without ``metrics``, it changes with every evaluation."""
        asked: list[Command] = [("HGET", summary_key(metric.field), metric.id) for metric in metrics]
        return joined(self._raw.ask(asked or [("GET", VERSION)]))

    def ranked(self, field: str) -> int:
        """How many metrics of ``field`` have a rank."""
        return int(self._raw.ask([("ZCARD", rank_key(field))])[0])

    def answered(self, markets: Sequence[str]) -> int:
        """How many of ``markets`` got an answer from their source in the last day. An answer without trades counts."""
        return self._raw.ask([("EXISTS", *map(ring_key, markets))])[0] if markets else 0

    def ranking(self, field: str) -> list[str]:
        """Metric ids of ``field`` by rank, the most volatile first; equal ones by id, backwards."""
        return [metric.decode() for metric in self._raw.ask([("ZREVRANGE", rank_key(field), 0, -1)])[0]]

    def standing(self, metric: Metric) -> Standing | None:
        """A metric's summary and ranks; None if it has not been evaluated or has no samples."""
        return standing_of(self._raw.ask(ask_standing(metric)))

    def view(self, market: str, metrics: Sequence[Metric], sources: Sequence[str], now: float) -> View:
        """Reads ``market`` and its ``metrics`` in one exchange with the server."""
        asked: list[Command] = [("HGET", markets_key(source), market) for source in sources]
        for metric in metrics:
            asked += ask_standing(metric)
        asked.append(("GET", ring_key(market)))  # after the versions: never older than they are
        *replies, ring = self._raw.ask(asked)
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

    # Watch lists

    def watch(self, source: str, markets: Sequence[Market]) -> None:
        """Replaces the watch list of ``source``."""
        with translated():
            gone = {id.decode() for id in self.redis.hkeys(markets_key(source))} - {market.id for market in markets}
            for key in (asked_key(source), answered_key(source)) if gone else ():
                self.redis.zrem(key, *gone)
            pipe = self.redis.pipeline(transaction=True)
            pipe.delete(markets_key(source))
            if markets:
                mapping = {market.id: f"{market.base}/{market.quote} {market.name}".rstrip() for market in markets}
                pipe.hset(markets_key(source), mapping=mapping)
            pipe.incr(VERSION)
            pipe.execute()

    def watched(self, source: str) -> dict[str, Market]:
        """Market id -> market, of the watch list of ``source``, by id."""
        [stored] = self._raw.ask([("HGETALL", markets_key(source))])
        return {market.id: market for market in sorted(map(market_of, stored.items()), key=lambda market: market.id)}

    # Ticks and statuses

    def claim(self, source: str, slot: int, task: str, life: float) -> bool:
        """Whether ``task`` owns the tick of ``source`` at ``slot``. The first to claim it does, and may claim again."""
        key = f"{PREFIX}:tick:{source}:{slot}"
        [claimed] = self._raw.ask([("SET", key, task, "NX", "PX", int(life * 1000), "GET")])
        return claimed is None or claimed.decode() == task

    def count(self, what: str, life: int) -> int:
        """Counts ``what``; returns the count, this time included. It starts anew after ``life`` seconds without one."""
        key = f"{PREFIX}:count:{what}"
        return int(self._raw.ask([("INCR", key), ("EXPIRE", key, life)])[0])

    def failed(self, source: str, now: float, reason: str, message: str, market: str | None = None) -> None:
        """Notes and counts that ``source`` gave nothing to store, for ``market`` or at all."""
        status, text = status_key(source), message[:500].encode(errors="replace")
        commands: list[Command] = [
            ("HSET", status, "last_error", text, "last_error_at", f"{now:.3f}"),
            ("HINCRBY", status, f"refused:{reason}", 1),
        ]
        if market:
            commands.append(("ZADD", asked_key(source), now, market))
        self._raw.ask(commands)

    def refused(self, source: str, reason: str, count: int) -> None:
        """Counts ``count`` things that ``source`` gave and that cannot be used."""
        self._raw.ask([("HINCRBY", status_key(source), f"refused:{reason}", count)])

    def note(self, source: str, **said: str | float) -> None:
        """Sets fields of the status of ``source``."""
        self._raw.ask([("HSET", status_key(source), *flat(said.items()))])

    def unnote(self, source: str, name: str) -> None:
        """Removes a field of the status of ``source``."""
        self._raw.ask([("HDEL", status_key(source), name)])

    def longest_ago(self, source: str, markets: Sequence[str]) -> list[str]:
        """``markets`` in order of their last request to ``source``: never asked for first, then the longest ago."""
        if not markets:
            return []
        [times] = self._raw.ask([("ZMSCORE", asked_key(source), *markets)])
        asked = dict(zip(markets, (time or 0.0 for time in times), strict=True))
        return sorted(markets, key=lambda market: (asked[market], market))

    def unanswered(self, source: str, markets: Sequence[str], since: float) -> list[str]:
        """Those of ``markets`` that got no answer from ``source`` since ``since`` (Unix s)."""
        if not markets:
            return []
        [times] = self._raw.ask([("ZMSCORE", answered_key(source), *markets)])
        return [market for market, at in zip(markets, times, strict=True) if (at or 0.0) < since]

    def waiting_since(self, source: str, now: float) -> float:
        """When waiting for ``source`` began (Unix s); the first call notes ``now``."""
        key, name = status_key(source), "waiting_since"
        return float(self._raw.ask([("HSETNX", key, name, f"{now:.3f}"), ("HGET", key, name)])[1])

    def status(self, source: str) -> dict[str, str]:
        """What is known of ``source``, by name.

        ``last_success``, ``last_error_at``, ``catalogue_refused_since``, ``waiting_since`` and ``newest_slot`` (of the
        last answer) are Unix seconds. ``last_error``; ``refused:REASON`` counts; ``clock_skew`` (s); ``deferred``
        (markets the last tick could not pay for); ``catalogue`` (markets it has); ``waiting`` (why the catalogue is not
        read yet).
        """
        [stored] = self._raw.ask([("HGETALL", status_key(source))])
        return {key.decode(): value.decode() for key, value in stored.items()}
