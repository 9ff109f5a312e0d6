"""The real candles that tests replay. They are read where they are; without them, the tests that need them fail."""

import csv
import gzip
from functools import cache
from pathlib import Path

from tracker.simulator.feeds import COLUMNS

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "candles"


@cache
def candles(pair: str) -> dict[int, tuple[float, float]]:
    """Slot -> (close, traded base) for each minute in which ``pair`` had a trade, oldest first."""
    with gzip.open(FOLDER / f"{pair}.csv.gz", "rt", newline="") as file:
        return {int(row["open_time"]): (float(row["close"]), float(row["volume"])) for row in csv.DictReader(file)}


HEADER = ",".join(COLUMNS)
GOOD = "600,2,4,1,3,10"


def write(folder, name, *lines):
    (folder / name).write_bytes(gzip.compress("\n".join(lines).encode()))
