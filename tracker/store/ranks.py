"""The summary and the ranks of each metric in Redis. Keys and packing: layout.py.

A rank is the position of a metric in a sorted set of its field: by standard deviation over 24 h, or by that deviation's
share of the mean (cv). Redis keeps the order, so a write of one metric moves the others. A list of many metrics reads
the summaries instead and sorts them (api/v1/table.py).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracker.models import Metric, Standing
from tracker.series.stats import Stats
from tracker.store.base import Stored
from tracker.store.layout import (
    NUMBERS,
    SUMMARY,
    VERSION,
    ask_standing,
    cv_key,
    hashed,
    joined,
    rank_key,
    readable,
    scored,
    standing_of,
    summary_key,
)
from tracker.store.raw import Command


class Ranks(Stored):
    """Summaries and ranks. A part of the Store."""

    def begin_save(self, metrics: Sequence[Metric], stats: Stats, now: float) -> Any:
        """Begins to store the summaries and rank entries of ``metrics`` (n). A metric without samples loses both.

        They are stored once ``finish`` has returned.
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

    def finish(self, saves: Iterable[Any]) -> None:
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

    def ranking(self, field: str) -> list[str]:
        """Metric ids of ``field`` by rank, the most volatile first; equal ones by id, backwards."""
        return [metric.decode() for metric in self._raw.ask([("ZREVRANGE", rank_key(field), 0, -1)])[0]]

    def leaders(self, field: str, by: str, count: int) -> tuple[list[str], int]:
        """(the first ``count`` metrics of ``field`` by ``stddev`` or ``cv``, how many have that rank)."""
        key = {"stddev": rank_key, "cv": cv_key}[by](field)
        first, of = self._raw.ask([("ZREVRANGE", key, 0, count - 1), ("ZCARD", key)])
        return [metric.decode() for metric in first], of

    def standing(self, metric: Metric) -> Standing | None:
        """A metric's summary and ranks; None if it has not been evaluated or has no samples."""
        return standing_of(self._raw.ask(ask_standing(metric)))
