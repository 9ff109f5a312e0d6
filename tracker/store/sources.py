"""What is stored of each source in Redis: its watch list, its ticks, and its status. Keys: layout.py."""

from collections.abc import Sequence

from tracker.models import Market
from tracker.store.base import Stored
from tracker.store.connection import PREFIX, translated
from tracker.store.layout import (
    VERSION,
    answered_key,
    asked_key,
    flat,
    market_of,
    markets_key,
    status_key,
)
from tracker.store.raw import Command


class Sources(Stored):
    """Watch lists, ticks and statuses. A part of the Store."""

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

    def answers(self, source: str) -> dict[str, float]:
        """Market -> time of its last answer from ``source`` (Unix s). A market that never got one is missing."""
        [times] = self._raw.ask([("ZRANGE", answered_key(source), 0, -1, "WITHSCORES")])
        return {market.decode(): at for market, at in times}

    def waiting_since(self, source: str, now: float) -> float:
        """When waiting for ``source`` began (Unix s); the first call notes ``now``."""
        key, name = status_key(source), "waiting_since"
        return float(self._raw.ask([("HSETNX", key, name, f"{now:.3f}"), ("HGET", key, name)])[1])

    def status(self, source: str) -> dict[str, str]:
        """What is known of ``source``, by name.

        ``last_success``, ``last_error_at``, ``last_tick``, ``catalogue_refused_since``, ``waiting_since`` and
        ``newest_slot`` (of the last answer) are Unix seconds. ``last_error``; ``refused:REASON`` counts; ``clock_skew``
        (s); ``deferred`` (markets the last tick could not pay for); ``catalogue`` (markets it has); ``waiting`` (why
        the catalogue is not read yet).
        """
        [stored] = self._raw.ask([("HGETALL", status_key(source))])
        return {key.decode(): value.decode() for key, value in stored.items()}
