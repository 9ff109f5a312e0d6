"""The real candles that tests replay: read where they are, never copied. Absent files fail the tests that need them."""

import csv
import gzip
from functools import cache
from pathlib import Path

from tracker.simulator.feeds import COLUMNS

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "candles"


@cache
def candles(pair: str) -> dict[int, tuple[float, float]]:
    """Slot of a minute -> (close, traded base) of every minute of ``pair`` that had a trade, oldest first."""
    with gzip.open(FOLDER / f"{pair}.csv.gz", "rt", newline="") as file:
        return {int(row["open_time"]): (float(row["close"]), float(row["volume"])) for row in csv.DictReader(file)}


HEADER = ",".join(COLUMNS)
GOOD = "600,2,4,1,3,10"


def write(folder, name, *lines):
    (folder / name).write_bytes(gzip.compress("\n".join(lines).encode()))
