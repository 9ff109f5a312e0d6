"""The last 24 hours of a market as bytes. Pure: rows <-> bytes, slots <-> time; no I/O, no clock.

A ring is a string of ``rows`` packed little-endian rows: the window's closed slots and the slot in progress. A slot's
row is ``(slot // step) % rows``. A row is (cycle u2, one f8 for each field). The low 15 bits of the cycle say which
turn of the ring wrote the row, so yesterday's row differs from today's; 0 marks a row never written. The high bit says
that the slot is not final: its source was not asked after the slot's end. Values and mark are written together, so a
late write of an unfinished value never passes for a final one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import cycle
from typing import NamedTuple

import numpy as np

from tracker.models import FIELDS

DAY = 86_400
#: Seconds of a series that are kept.
WINDOW = DAY
HOUR = 3_600
#: The columns of all fields.
COLUMNS = range(len(FIELDS))
#: The bit of a row's cycle that marks a slot which is not final.
OPEN = 0x8000


class Windows(NamedTuple):
    """The windows of n rings.

    values: float64 (columns, n, slots), oldest slot first, NaN where no sample is stored. final: int (n,), how many of
    the first slots of each ring are final, which means that their values stay. The slot in progress is never final, nor
    is a missing slot at the end.
    """

    values: np.ndarray
    final: np.ndarray


@dataclass(frozen=True)
class Ring:
    """The format of rings with slots of ``step`` seconds. ``step`` divides a day."""

    step: int = 60

    @cached_property
    def rows(self) -> int:
        return WINDOW // self.step + 1

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
        return self.slot(now) - WINDOW

    def slots(self, now: float) -> np.ndarray:
        """The slots in a ring at ``now``: int64 (rows,), oldest first. The last one is in progress."""
        return np.arange(self.first(now), self.slot(now) + 1, self.step)

    def encode(
        self, slots: np.ndarray, values: np.ndarray, now: float, settled: int | None = None
    ) -> list[tuple[int, bytes]]:
        """The runs to write, as (offset, bytes). ``slots``: int64 (n,), ascending; ``values``: float64 (n, fields).

        Leaves out slots outside the window at ``now``: an older slot would take the row of a newer one. Slots before
        ``settled`` (Unix seconds; None: the slot in progress) are final.
        """
        held = (slots >= self.first(now)) & (slots <= self.slot(now))
        slots, values = slots[held], values[held]
        packed = np.empty(len(slots), self.row_type)
        packed["cycle"] = self._cycles(slots) | np.where(slots < (settled or self.slot(now)), 0, OPEN).astype("<u2")
        packed["values"] = values
        rows = slots // self.step % self.rows
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(slots)]
        width = self.row_type.itemsize
        return [(int(rows[a]) * width, packed[a:b].tobytes()) for a, b in zip(starts, ends, strict=True) if b > a]

    def encode_slot(self, slot: int, values: np.ndarray, final: bool) -> tuple[int, list[bytes]]:
        """One slot of many rings: (offset, a row for each ring). ``values``: float64 (rings, fields)."""
        packed = np.empty(len(values), self.row_type)
        packed["cycle"] = self._cycles(np.array(slot)) | np.uint16(0 if final else OPEN)
        packed["values"] = values
        raw, width = packed.tobytes(), self.row_type.itemsize
        return slot // self.step % self.rows * width, [raw[at : at + width] for at in range(0, len(raw), width)]

    def decode(self, rings: list[bytes | None], now: float, columns: Sequence[int] = COLUMNS) -> Windows:
        """The windows of ``rings``, with these ``columns`` of the fields. None is a market without a ring."""
        first = self.first(now)
        oldest = self._row(first)
        whole = b"".join([(ring or b"")[: self.size].ljust(self.size, b"\0") for ring in rings])
        packed = np.frombuffer(whole, self.row_type).reshape(len(rings), self.rows)
        values = np.empty((len(columns), *packed.shape))
        for window, column in zip(values, columns, strict=True):
            stored = packed["values"][:, :, column]
            np.concatenate((stored[:, oldest:], stored[:, :oldest]), axis=1, out=window)
        expected = _expected(first, self.step)
        if (packed["cycle"] == np.roll(expected, oldest)).all():
            return Windows(values, np.full(len(rings), self.rows - 1))
        absent, final = _told(np.roll(packed["cycle"], -oldest, axis=1), expected)
        np.copyto(values, np.nan, where=absent)
        return Windows(values, np.minimum(final, self.rows - 1))

    def tail_ranges(self, now: float, count: int) -> list[tuple[int, int]]:
        """The byte ranges (first, last; both inclusive) of the newest ``count`` slots, oldest first."""
        last = self.slot(now) // self.step % self.rows
        first = last - count + 1
        rows = [(first, last)] if first >= 0 else [(first + self.rows, self.rows - 1), (0, last)]
        width = self.row_type.itemsize
        return [(a * width, (b + 1) * width - 1) for a, b in rows]

    def decode_tail(self, pieces: Sequence[bytes], now: float, count: int) -> Windows:
        """The newest ``count`` slots of n rings, from the bytes of each at ``tail_ranges``: (fields, n, count)."""
        sizes = cycle([b - a + 1 for a, b in self.tail_ranges(now, count)])
        raw = b"".join(piece.ljust(next(sizes), b"\0") for piece in pieces)
        packed = np.frombuffer(raw, self.row_type).reshape(-1, count)
        values = np.moveaxis(packed["values"], 2, 0).copy()
        absent, final = _told(packed["cycle"], self._cycles(self.slots(now)[-count:]))
        np.copyto(values, np.nan, where=absent)
        return Windows(values, np.minimum(final, count - 1))

    def _cycles(self, slots: np.ndarray) -> np.ndarray:
        return (slots // (self.step * self.rows) % (OPEN - 1) + 1).astype("<u2")

    def _row(self, slot: int) -> int:
        return slot // self.step % self.rows


@lru_cache(4)
def _expected(first: int, step: int) -> np.ndarray:
    """The cycles (slots,) of a complete window that begins with the slot ``first``.

    All its slots are stored, and all but the slot in progress are final. That is the usual case, and one comparison
    recognises it.
    """
    ring = Ring(step)
    cycles = ring._cycles(ring.slots(first + WINDOW))
    cycles[-1] |= OPEN
    return cycles


def _told(cycles: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(absent, final), from the stored ``cycles`` (n, slots) and the ``expected`` ones (slots,) of this turn.

    absent: bool (n, slots), the slots without a row; final: int (n,), how many of the first slots are final. A missing
    slot just before the first slot that is not final is not final either: the same answer may fill it.
    """
    absent = (cycles ^ expected) & ~np.uint16(OPEN) != 0
    unfinished = ~absent & (cycles & OPEN != 0)
    before = np.logical_or.accumulate(unfinished, axis=1)
    final = ~absent & ~before
    slots = cycles.shape[1]
    return absent, np.where(final.any(axis=1), slots - np.argmax(final[:, ::-1], axis=1), 0)
