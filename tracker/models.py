"""The words of the project as values: fields, markets, metrics, candles, summaries, ranks, alerts."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from tracker.errors import BadId

#: What is measured of a market -> which side of the pair is its unit. The order is the order of columns everywhere.
FIELDS = {"price": "quote", "volume": "base"}
PRICE, VOLUME = range(len(FIELDS))

#: Exchange and pair as they come from catalogues, lower case. 64 characters are three times the longest seen.
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
MARKET_ID = re.compile(rf"({NAME}):({NAME})")
METRIC_ID = re.compile(rf"({NAME}:{NAME}):({'|'.join(FIELDS)})")


@dataclass(frozen=True)
class Market:
    """A pair traded on an exchange. ``base`` and ``quote`` are currency symbols, e.g. ``eth`` and ``btc``."""

    id: str
    base: str
    quote: str

    def __post_init__(self) -> None:
        if not MARKET_ID.fullmatch(self.id):
            raise BadId(f"{self.id[:80]!r} is no market id: expected exchange:pair in lower case, e.g. kraken:btcusd")


@dataclass(frozen=True)
class Metric:
    """One field of one market; the thing that is picked, charted, ranked and alerted on."""

    market: str
    field: str

    @classmethod
    def parse(cls, id: str) -> Self:
        """Reads ``exchange:pair:field``; raises BadId."""
        match = METRIC_ID.fullmatch(id)
        if not match:
            expected = f"exchange:pair:field in lower case with a field of {', '.join(FIELDS)}"
            raise BadId(f"{id[:80]!r} is no metric id: expected {expected}, e.g. kraken:btcusd:volume")
        return cls(*match.groups())

    @property
    def id(self) -> str:
        return f"{self.market}:{self.field}"

    @property
    def column(self) -> int:
        """Its place in arrays that have one entry a field."""
        return list(FIELDS).index(self.field)

    def unit(self, market: Market) -> str:
        """The currency its values are counted in: the quote's for a price, the base's for a volume."""
        return getattr(market, FIELDS[self.field])


@dataclass(frozen=True)
class Candles:
    """Slots of one market as a source gave them, oldest first, no slot twice.

    slots: int64 (n,), opening times in Unix seconds, multiples of the step.
    values: float64 (n, fields): price in quote units, volume in base units traded in the slot.
    covered: first slot the answer speaks for; a slot from there on that is neither in ``slots`` nor in
        ``refused_slots`` had no trade.
    refused: reason -> number of candles refused; ``refused_slots`` are their slots, which stay as they were stored.
    """

    slots: np.ndarray
    values: np.ndarray
    covered: int
    refused: dict[str, int] = field(default_factory=dict)
    refused_slots: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Summary:
    """A metric at its last evaluation. Values are in the metric's unit, NaN where there is no sample.

    slot: the newest slot with a sample, Unix seconds; last: its value; mean_1h: mean of the last hour's closed slots;
    mean, stddev: over the closed slots of 24 h, stddev with ddof 0; change_1h, change_24h: of ``last`` against the slot
    an hour and a day before the one in progress, as fractions; cv: stddev / mean; at: Unix seconds of the evaluation.
    """

    slot: int
    last: float
    mean_1h: float
    mean: float
    stddev: float
    change_1h: float
    change_24h: float
    cv: float
    at: float


@dataclass(frozen=True)
class Rank:
    """Position among the ``of`` metrics of the field that have one, by stddev or by cv; 1 is the most volatile."""

    position: int
    of: int

    @property
    def text(self) -> str:
        return f"{self.position}/{self.of}"


class Standing(NamedTuple):
    """A metric's numbers and places at its last evaluation. ``cv_rank`` is None where the mean is 0."""

    summary: Summary
    rank: Rank
    cv_rank: Rank | None


@dataclass(frozen=True)
class Alert:
    """One firing of a rule, with the numbers that explain it: value > factor x baseline.

    slot: the slot of the rising edge, Unix seconds; baseline: mean of ``samples`` present samples in the
    ``window`` seconds before it; at: Unix seconds of the evaluation that found it.
    """

    rule: str
    metric: str
    slot: int
    value: float
    baseline: float
    factor: float
    samples: int
    window: int
    at: float

    @property
    def id(self) -> str:
        """The same firing has the same id however often it is found."""
        return f"{self.rule}/{self.metric}/{self.slot}"

    def __str__(self) -> str:
        ratio = self.value / self.baseline
        return (
            f"{self.metric}: {self.value:.6g} is {ratio:.2f} x its mean of {self.baseline:.6g} over the last "
            f"{self.window // 60} min ({self.samples} samples), above {self.factor:g} x [{self.id}]"
        )
