"""When would a rule have fired? Over the stored 24 hours, or over candle files, minute by minute.

The functions are those of the live evaluation. Each slot is looked at once, when it is complete.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tracker.alerts import rules
from tracker.alerts.rulebook import Rulebook
from tracker.alerts.rules import LevelRule, Ranked, Rule, Series
from tracker.alerts.rules.spread import medians, pair_of
from tracker.clock import utc
from tracker.errors import TrackerError
from tracker.models import FIELDS, Candles, Metric, matches
from tracker.series import candles, stats
from tracker.series.ring import DAY, WINDOW
from tracker.settings import Settings
from tracker.simulator.feeds import Replay
from tracker.store.connection import connect
from tracker.store.series import Store

#: Columns of a chart; charts and listed alerts in a report. They fit on a screen.
WIDTH = 96
CHARTS = 10
LISTED = 20
#: An alert should have been near the so many largest levels of a metric.
LARGEST = 10
BLOCKS = " ▁▂▃▄▅▆▇█"
#: So many markets are read at a time.
CHUNK = 64


@dataclass(frozen=True)
class Past:
    """Series of metrics (n,): values (n, slots), NaN for missing; the first slot is ``start`` (Unix seconds).

    beside: name -> (n, slots), other series of the same markets, as in rules.Series.
    """

    metrics: list[str]
    values: np.ndarray
    start: int
    step: int
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def days(self) -> float:
        slots: int = self.values.shape[1]
        return slots * self.step / DAY

    def of(self, rule: LevelRule, glob: str = "*") -> "Past":
        """The metrics that ``rule`` and ``glob`` match, with what ``rule`` needs beside them."""
        return self.only([id for id in self.metrics if rule.matches(id) and matches((glob,), id)], rule)

    def only(self, metrics: list[str], rule: LevelRule) -> "Past":
        """These ``metrics``, which ``rule`` matches, with what it needs beside them."""
        row_of = {metric: row for row, metric in enumerate(self.metrics)}
        markets = [Metric.parse(metric).market for metric in metrics]
        others = [each for each in FIELDS if rule.field and each != rule.field]
        beside = {each: self.values[[row_of[f"{market}:{each}"] for market in markets]] for each in others}
        if rule.NEEDS_PEERS:
            beside |= self._medians(markets)
        return Past(metrics, self.values[[row_of[metric] for metric in metrics]], self.start, self.step, beside)

    def _medians(self, markets: Sequence[str]) -> dict[str, np.ndarray]:
        pairs = [pair_of(Metric.parse(metric).market) for metric in self.metrics if metric.endswith(":price")]
        prices, volumes = (self.values[[metric.endswith(f":{each}") for metric in self.metrics]] for each in FIELDS)
        return medians([pair_of(market) for market in markets], pairs, prices, volumes)


@dataclass
class Tally:
    """What a rule did on one metric: slots above its limit, rising edges, and the alerts as (column, text)."""

    metric: str
    levels: np.ndarray
    above: int = 0
    edges: list[int] = field(default_factory=list)
    alerts: list[tuple[int, str]] = field(default_factory=list)

    def told(self, slots: int) -> int:
        """How many of the LARGEST levels came with an alert, or within ``slots`` after one."""
        known = np.flatnonzero(~np.isnan(self.levels))
        largest = known[np.argsort(self.levels[known])[::-1][:LARGEST]]
        return sum(any(0 <= at - alert <= slots for alert, _ in self.alerts) for at in largest.tolist())


def report(settings: Settings, rule: str | None, metric: str | None, folder: str | None) -> str:
    """The text of ``rules backtest``; raises TrackerError if there is no such rule, metric or file."""
    book = Rulebook(settings.rules).current()
    known: list[LevelRule | Ranked] = [*book.series, *book.ranked]
    chosen = [each for each in known if rule in (None, each.name)]
    if not chosen:
        raise TrackerError(f"no rule {rule} on values of metrics: there are {', '.join(each.name for each in known)}")
    past = of_files(Path(folder)) if folder else of_store(settings)
    parts = []
    for each in chosen:
        if isinstance(each, Ranked):
            parts.append(_report_of_ranks(past, each, metric or "*"))
            continue
        some = past.of(each, metric or "*")
        if some.metrics:
            parts.append(_report(some, each, run(some, each)))
    if not parts:
        raise TrackerError(
            f"no metric that matches {metric or 'the rule'}: there are {', '.join(past.metrics[:5])} ..."
        )
    return "\n\n".join(parts)


def of_store(settings: Settings) -> Past:
    """The stored 24 hours of all watched markets."""
    store, now = Store(connect(settings.redis_url, tries=1, patience=10), settings.ring), settings.clock.now()
    markets = sorted({market for source in settings.sources for market in store.watched(source)})
    if not markets:
        raise TrackerError("nothing is stored yet: ./scripts/start, or give a folder of candle files")
    return of_markets(store, markets, now)


def of_markets(store: Store, markets: Sequence[str], now: float) -> Past:
    """The stored 24 hours of ``markets``, at least one."""
    chunks = [markets[at : at + CHUNK] for at in range(0, len(markets), CHUNK)]
    values = np.concatenate([store.windows(chunk, now).values for chunk in chunks], 1)
    metrics = [Metric(market, field).id for field in FIELDS for market in markets]
    return Past(metrics, values.reshape(len(metrics), -1), store.ring.first(now), store.ring.step)


def of_files(folder: Path) -> Past:
    """All candles of a folder. A minute without a trade has volume 0 and the price of the minute before."""
    try:
        files = Replay(folder, 0)
    except (ValueError, OSError) as error:
        raise TrackerError(f"{folder}: {error}") from error
    step, end = 60, files.end - files.shift
    filled = {
        f"{market.exchange}:{market.pair}": _filled(files.candles(market.exchange, market.pair, -(2**40), 2**40), files)
        for market in files.markets
    }
    start = min(int(slots[0]) for slots, _ in filled.values())
    values = np.full((len(FIELDS), len(filled), (end - start) // step), np.nan)
    for row, (slots, both) in enumerate(filled.values()):
        values[:, row, (slots - start) // step] = both.T
    metrics = [Metric(market, field).id for field in FIELDS for market in filled]
    return Past(metrics, values.reshape(len(metrics), -1), start, step)


def run(past: Past, rule: LevelRule) -> list[Tally]:
    """What ``rule`` does on every metric of ``past``, which has what the rule needs beside its metrics."""
    tallies = [Tally(metric, np.full(past.values.shape[1], np.nan)) for metric in past.metrics]
    for rows, columns, window in _looks(past):
        steps = columns.stop - columns.start - 1
        levels, above, rising = rules.look_back(window, rule, steps)
        for tally, level, over in zip(tallies[rows], levels, np.count_nonzero(above, axis=1).tolist(), strict=True):
            tally.levels[columns] = level
            tally.above += over
        for edge in rules.rising_edges(window, rule, steps) if rising.any() else ():
            column = columns.stop - window.values.shape[1] + edge.column
            slot = past.start + column * past.step
            tally = tallies[rows][edge.row]
            _tell(tally, rule, column, edge.alert(rule, tally.metric, slot, float(slot)).text, past.step)
    return tallies


def _looks(past: Past) -> Iterator[tuple[slice, slice, Series]]:
    """Yields (rows, columns, the window that shows these columns as the newest ones).

    A day or less is one look, since the window of each slot begins with that day. In a longer past each has its own.
    """
    (count, slots), width = past.values.shape, WINDOW // past.step
    if slots <= width + 1:
        for start in range(0, count, CHUNK):
            rows = slice(start, start + CHUNK)
            beside = {name: each[rows] for name, each in past.beside.items()}
            yield rows, slice(0, slots), Series(past.values[rows], past.step, (), beside, closed=True)
        return
    before = np.full((count, width), np.nan)
    padded = np.hstack([before, past.values])
    padded_beside = {name: np.hstack([before, values]) for name, values in past.beside.items()}
    for column in range(slots):
        seen = slice(column, column + width + 1)
        beside = {name: each[:, seen] for name, each in padded_beside.items()}
        yield slice(0, count), slice(column, column + 1), Series(padded[:, seen], past.step, (), beside, closed=True)


def run_ranks(past: Past, rule: Ranked) -> list[Tally]:
    """What ``rule`` does on every metric of ``past`` from its second day on: a rank is by the 24 h before."""
    tallies = {metric: Tally(metric, np.full(past.values.shape[1], np.nan)) for metric in past.metrics}
    width = WINDOW // past.step
    for field_ in FIELDS:
        rows = [row for row, metric in enumerate(past.metrics) if metric.endswith(f":{field_}")]
        members, of = set[str](), 0
        for column in range(width, past.values.shape[1]):
            window = stats.describe(past.values[rows, column - width : column + 1], past.step)
            scores = zip(getattr(window, rule.by).tolist(), [past.metrics[row] for row in rows], strict=True)
            leaders = [metric for _, metric in sorted((each for each in scores if each[0] == each[0]), reverse=True)]
            for position, metric in enumerate(leaders, start=1):
                tallies[metric].levels[column] = -position
                tallies[metric].above += position <= rule.top
            entering = rule.entering(leaders, members)
            if len(leaders) <= of:  # nothing enters while the ranking grows, as in ranking.check
                for metric, position in entering.items():
                    slot = past.start + column * past.step
                    alert = rule.alert(metric, position, len(leaders), slot, float(slot))
                    _tell(tallies[metric], rule, column, alert.text, past.step)
            members, of = (members | entering.keys()) - rule.leaving(leaders, members), len(leaders)
    return list(tallies.values())


def _tell(tally: Tally, rule: Rule, column: int, text: str, step: int) -> None:
    """Notes an edge, and an alert unless the metric had one within the cooldown, as Outbox.record does."""
    tally.edges.append(column)
    if not tally.alerts or (column - tally.alerts[-1][0]) * step >= max(rule.cooldown, 1):
        tally.alerts.append((column, text))


def _filled(rows: np.ndarray, files: Replay) -> tuple[np.ndarray, np.ndarray]:
    slots = rows[:, 0].astype(np.int64) - files.shift
    found = Candles(slots, rows[:, [4, 5]], int(slots[0]))
    return candles.fill(found, files.end - files.shift - 60, 60, float("nan"))


def _report_of_ranks(past: Past, rule: Ranked, glob: str) -> str:
    if past.values.shape[1] * past.step <= WINDOW + past.step:
        return (
            f"{rule.name} ({rule.KIND}): ranks of the past are not stored, and a rank is by the 24 h before it. "
            "Candle files of more than a day can tell: --candles DIR"
        )
    tallies = [
        tally for tally in run_ranks(past, rule) if rule.matches(tally.metric) and matches((glob,), tally.metric)
    ]
    return _report(past, rule, tallies)


def _report(past: Past, rule: LevelRule | Ranked, tallies: Sequence[Tally]) -> str:
    slots = rule.cooldown // past.step
    title = f"{rule.name} ({rule.KIND}) over {past.days:.1f} days from {utc(past.start)}"
    if rule.UNKNOWN_PAST:
        title += f"; {rule.UNKNOWN_PAST}"
    head = f"{'metric':32}{'above':>8}{'edges':>8}{'alerts':>8}{'a day':>8}{f'largest {LARGEST} told':>18}"
    ranked = sorted(tallies, key=lambda tally: (-len(tally.alerts), tally.metric))
    rows = [
        f"{tally.metric:32}{tally.above:8}{len(tally.edges):8}{len(tally.alerts):8}"
        f"{len(tally.alerts) / past.days:8.1f}{tally.told(slots) if isinstance(rule, LevelRule) else '':18}"
        for tally in ranked
    ]
    if silent := sum(bool(np.isnan(tally.levels).all()) for tally in tallies):
        rows.append(f"{silent} of {len(tallies)} metrics have no level in any slot: {rule.LEVELLESS}")
    charts = [_chart(past, rule, tally) for tally in ranked[:CHARTS] if tally.alerts]
    lines = [
        f"{utc(past.start + at * past.step)}  {text}" for tally in ranked[:1] for at, text in tally.alerts[-LISTED:]
    ]
    return "\n".join([title, head, *rows, *charts, *([f"the last of {ranked[0].metric}:", *lines] if lines else [])])


def _chart(past: Past, rule: LevelRule | Ranked, tally: Tally) -> str:
    """A bar for the largest level in each stretch of time, in the upper half if above the limit; ``^``: it fired."""
    stretch = -(-len(tally.levels) // WIDTH)
    padded = np.full(stretch * WIDTH, np.nan)
    padded[: len(tally.levels)] = tally.levels
    peaks = np.fmax.reduce(padded.reshape(WIDTH, stretch), axis=1)
    fired = {column // stretch for column, _ in tally.alerts}
    bars = "".join(BLOCKS[height] for height in _heights(peaks, rule.limit)).rstrip()
    marks = "".join("^" if at in fired else " " for at in range(WIDTH)).rstrip()
    return f"\n{tally.metric}, {stretch * past.step // 60} min a column, upper half: above the limit\n{bars}\n{marks}"


def _heights(peaks: np.ndarray, limit: float) -> list[int]:
    """1 to 4 from the lowest level to the limit, 5 to 8 above it, by the square root of the excess; 0 for no level."""
    lowest, largest = np.fmin.reduce(peaks), np.fmax.reduce(peaks)
    with np.errstate(invalid="ignore", divide="ignore"):
        low = 1 + np.floor(3 * (peaks - lowest) / (limit - lowest))
        high = 4 + np.ceil(4 * np.sqrt(np.maximum(peaks - limit, 0) / (largest - limit)))
    heights = np.nan_to_num(np.where(peaks > limit, high, low)).clip(0, len(BLOCKS) - 1)
    return [int(height) for height in heights]
