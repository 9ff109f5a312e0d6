"""Reports about repairs of the store, stored in the store itself, and counts of what no exchange gives back.

``{dt1}:repaired`` string, the report of the embedded store's last repair; ``{dt1}:refetch`` hash, market -> slot from
which the market is fetched again, because stored samples may be lost.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis

from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, RINGS, translated
from tracker.store.layout import ALERTS, API_KEYS, DUE, RULES, SILENCES
from tracker.store.pipelines import pipeline
from tracker.store.series import REFETCH

REPAIRED = f"{PREFIX}:repaired"
#: Seconds that the report of a repair is kept.
LIFE = 7 * DAY
#: What no exchange gives back, and the command that counts it.
COUNTED = {
    "API keys": ("HLEN", API_KEYS),
    "silences": ("HLEN", SILENCES),
    "saved rules": ("HLEN", RULES),
    "alerts": ("XLEN", ALERTS),
    "notices to be sent": ("ZCARD", DUE),
}


class Counts:
    """The numbers of COUNTED, kept in a file beside the store's own. It tells what a damaged store had."""

    def __init__(self, folder: Path):
        self._path = folder / "counts.json"
        self._last = self.read()

    def read(self) -> dict[str, int]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text())
            return {name: int(found[name]) for name in COUNTED if name in found}
        return {}

    def ask(self, redis: Redis) -> dict[str, int]:
        """Counts what is stored now: name -> number. Raises StoreError."""
        return dict(zip(COUNTED, pipeline(redis).ask(COUNTED.values()), strict=True))

    def keep(self, redis: Redis) -> None:
        """Writes the numbers to the file if they have changed. Raises StoreError, or OSError for the file."""
        now = self.ask(redis)
        if now != self._last:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(now))
            fresh.replace(self._path)
            self._last = now


def compare(known: dict[str, int], now: dict[str, int]) -> str:
    """A sentence: how much is left of what no exchange gives back. ``known``: the numbers before the damage."""
    parts = [f"{name}: {count} of {max(known[name], count)} remain" if name in known else f"{name}: {count} remain"
             for name, count in now.items()]  # fmt: skip
    return f"What no exchange gives back: {'; '.join(parts) or 'not known'}."


def record(redis: Redis, text: str, refetch: bool) -> None:
    """Stores the report ``text`` for a week. ``refetch``: fetch every market from the beginning. Raises StoreError."""
    client: Any = redis
    with translated():
        client.set(REPAIRED, text, ex=LIFE)
        markets = [key.removeprefix(RINGS.encode()) for key in client.scan_iter(f"{RINGS}*", 1_000)]
        if refetch and markets:
            client.hset(REFETCH, mapping=dict.fromkeys(markets, 0))
            client.expire(REFETCH, DAY)


def latest(redis: Redis) -> str:
    """The report of the last repair within a week, or an empty text. Raises StoreError."""
    with translated():
        return (redis.get(REPAIRED) or b"").decode()  # type: ignore[union-attr]
