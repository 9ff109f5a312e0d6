"""What must be served and told of replayed candles: plain loops over the files, without the tracker's code."""

from functools import cache

from tests.support.candle_files import FOLDER, candles

DAY, MINUTE = 86_400, 60


@cache
def pairs() -> list[str]:
    found = sorted(path.name.removesuffix(".csv.gz") for path in FOLDER.glob("*.csv.gz"))
    assert found, f"no candle files in {FOLDER}: the tests that replay real candles need them there"
    return found


@cache
def first_minute() -> int:
    """The first minute of all files."""
    return min(min(candles(pair)) for pair in pairs())


def expected_series(pair: str, field: str, first: int, last: int) -> list[float | None]:
    """Values of the minutes ``first`` to ``last`` of the file. A gap has volume 0 and the price of the last trade."""
    file, values, price = candles(pair), [], None
    for minute in range(min(file), last + MINUTE, MINUTE):
        if minute in file:
            price = file[minute][0]
        if minute >= first:
            values.append(price if field == "price" else file.get(minute, (0.0, 0.0))[1])
    return [None] * ((last - first) // MINUTE + 1 - len(values)) + values


@cache
def expected_edges(pair: str, field: str) -> dict[int, float]:
    """Minute -> mean of the hour before it, for each minute in which a firing begins.

    It begins above 3 x that mean, and ends at or below 2 x the mean.
    """
    edges, firing = {}, False
    series = expected_series(pair, field, first_minute(), max(candles(pair)))
    for at in range(60, len(series)):
        hour = [value for value in series[at - 60 : at] if value is not None]
        if series[at] is None or len(hour) < 30 or sum(hour) <= 0:
            continue
        mean = sum(hour) / len(hour)
        if series[at] > 3 * mean:
            if not firing:
                edges[first_minute() + at * MINUTE] = mean
            firing = True
        elif series[at] <= 2 * mean:
            firing = False
    return edges


def expected_alerts(first: int, last: int) -> dict[tuple[str, int], float]:
    """(metric, minute) -> mean of the hour before it, for all markets; at most one an hour for a metric."""
    alerts = {}
    for pair in pairs():
        for field in ("price", "volume"):
            allowed = first
            for minute, mean in expected_edges(pair, field).items():
                if allowed <= minute <= last:
                    alerts[f"replay:{pair}:{field}", minute] = mean
                    allowed = minute + 60 * MINUTE
    return alerts


def busiest_start(minutes: int) -> tuple[int, dict[tuple[str, int], float]]:
    """The minute with the most alerts in the ``minutes`` after it, and these alerts.

    Minutes with an alert close to them are left out: whether that is still fresh depends on how fast the stack starts.
    """
    starts = range(first_minute() + 2 * DAY, first_minute() + 5 * DAY, 5 * MINUTE)
    quiet = [at for at in starts if not expected_alerts(at - 4 * MINUTE, at + 4 * MINUTE)]
    at = max(quiet, key=lambda at: len(expected_alerts(at, at + minutes * MINUTE)))
    return at, expected_alerts(at, at + minutes * MINUTE)
