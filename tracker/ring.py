"""The last 24 hours of a market as bytes. Pure: rows <-> bytes, slots <-> time; no I/O, no clock.

A ring is a string of ``rows`` packed little-endian rows: the window's closed slots and the one in progress. A slot's
row is ``(slot // step) % rows``. A row is (cycle u2, one f8 a field); the cycle says which turn of the ring wrote it,
so that yesterday's row is told from today's, and 0 marks a row never written.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from tracker.models import FIELDS

DAY = 86_400
HOUR = 3_600
#: Those of all fields.
COLUMNS = range(len(FIELDS))


@dataclass(frozen=True)
class Ring:
    """Rings of slots of ``step`` seconds; ``step`` divides a day."""

    step: int = 60

    @cached_property
    def rows(self) -> int:
        return DAY // self.step + 1

    @cached_property
    def row_type(self) -> np.dtype:
        return np.dtype([("cycle", "<u2"), ("values", "<f8", (len(FIELDS),))])

    @cached_property
    def size(self) -> int:
        """Bytes of a ring."""
        return self.rows * self.row_type.itemsize

    def slot(self, now: float) -> int:
        """The slot in progress."""
        return int(now // self.step) * self.step

    def first(self, now: float) -> int:
        """The oldest closed slot of the window."""
        return self.slot(now) - DAY

    def slots(self, now: float) -> np.ndarray:
        """The slots a ring holds at ``now``: int64 (rows,), oldest first, the last one in progress."""
        return np.arange(self.first(now), self.slot(now) + 1, self.step)

    def encode(self, slots: np.ndarray, values: np.ndarray, now: float) -> list[tuple[int, bytes]]:
        """What to write where: (offset, bytes) runs. ``slots`` int64 (n,) ascending, ``values`` float64 (n, fields).

        Slots outside of the window at ``now`` are left out: an older one would take the row of a newer one.
        """
        held = (slots >= self.first(now)) & (slots <= self.slot(now))
        slots, values = slots[held], values[held]
        packed = np.empty(len(slots), self.row_type)
        packed["cycle"] = self._cycles(slots)
        packed["values"] = values
        rows = slots // self.step % self.rows
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(slots)]
        width = self.row_type.itemsize
        return [(int(rows[a]) * width, packed[a:b].tobytes()) for a, b in zip(starts, ends, strict=True) if b > a]

    def encode_slot(self, slot: int, values: np.ndarray) -> tuple[int, list[bytes]]:
        """One slot of many rings: (offset, a row for each), ``values`` float64 (rings, fields)."""
        packed = np.empty(len(values), self.row_type)
        packed["cycle"] = self._cycles(np.array(slot))
        packed["values"] = values
        raw, width = packed.tobytes(), self.row_type.itemsize
        return slot // self.step % self.rows * width, [raw[at : at + width] for at in range(0, len(raw), width)]

    def decode(self, rings: list[bytes | None], now: float, columns: Sequence[int] = COLUMNS) -> np.ndarray:
        """The windows of ``rings``: float64 (columns, n, rows), oldest slot first, NaN where none is stored.

        ``columns``: those of fields.
        """
        first = self.first(now)
        oldest = self._row(first) * self.row_type.itemsize
        whole = [(ring or b"")[: self.size].ljust(self.size, b"\0") for ring in rings]
        turned = b"".join([ring[oldest:] + ring[:oldest] for ring in whole])
        packed = np.frombuffer(turned, self.row_type).reshape(len(rings), self.rows)
        values = np.array([packed["values"][:, :, column] for column in columns]).reshape(len(columns), *packed.shape)
        cycles, (expected, _) = packed["cycle"], _expected(first, self.step)
        if cycles.tobytes() != expected.tobytes() * len(rings):
            np.copyto(values, np.nan, where=cycles != expected)
        return values

    def decode_parts(self, raw: bytearray, parts: Sequence[slice], now: float, values: np.ndarray) -> np.ndarray:
        """The windows of the rings that are ``parts`` (n) of ``raw``, as ``decode`` has them.

        They are in ``values`` where the rings are whole and lie evenly: float64, at least (fields * n * rows,). Fresh
        memory would cost more than the work that is done in it.
        """
        gaps = {after.start - before.start for before, after in pairwise(parts)} or {self.size}
        if parts and len(gaps) == 1 and all(part.stop - part.start == self.size for part in parts):
            packed = np.ndarray(
                (len(parts), self.rows), self.row_type, raw, parts[0].start, (*gaps, self.row_type.itemsize)
            )
            return self._turned(packed, now, values)
        return self.decode([bytes(raw[part]) for part in parts], now)

    def _turned(self, packed: np.ndarray, now: float, room: np.ndarray) -> np.ndarray:
        """Windows in ``room`` from the rows of rings, (n, rows)."""
        first = self.first(now)
        oldest = self._row(first)
        shape = len(FIELDS), *packed.shape
        values = room[: math.prod(shape)].reshape(shape)
        for series, column in zip(values, COLUMNS, strict=True):
            stored = packed["values"][:, :, column]
            series[:, : self.rows - oldest] = stored[:, oldest:]
            series[:, self.rows - oldest :] = stored[:, :oldest]
        _, expected = _expected(first, self.step)
        absent = packed["cycle"] != expected
        if absent.any():
            turned = np.concatenate((absent[:, oldest:], absent[:, :oldest]), axis=1)
            np.copyto(values, np.nan, where=turned)
        return values

    def tail_ranges(self, now: float, count: int) -> list[tuple[int, int]]:
        """The byte ranges (first, last inclusive) that hold the newest ``count`` slots, oldest first."""
        last = self.slot(now) // self.step % self.rows
        first = last - count + 1
        rows = [(first, last)] if first >= 0 else [(first + self.rows, self.rows - 1), (0, last)]
        width = self.row_type.itemsize
        return [(a * width, (b + 1) * width - 1) for a, b in rows]

    def decode_tail(self, pieces: list[bytes], now: float, count: int) -> np.ndarray:
        """The newest ``count`` slots, from the bytes at ``tail_ranges``: float64 (fields, count), NaN for none."""
        raw = b"".join(
            piece.ljust(b - a + 1, b"\0") for piece, (a, b) in zip(pieces, self.tail_ranges(now, count), strict=True)
        )
        slots = self.slots(now)[-count:]
        packed = np.frombuffer(raw, self.row_type)
        values = packed["values"].T.copy()
        values[:, packed["cycle"] != self._cycles(slots)] = np.nan
        return values

    def _cycles(self, slots: np.ndarray) -> np.ndarray:
        return (slots // (self.step * self.rows) % 65_535 + 1).astype("<u2")

    def _row(self, slot: int) -> int:
        return slot // self.step % self.rows


@lru_cache(4)
def _expected(first: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The cycles of a whole window that begins with the slot ``first``: in its order, and in that of a ring's rows."""
    ring = Ring(step)
    cycles = ring._cycles(ring.slots(first + DAY))
    return cycles, np.roll(cycles, ring._row(first))
