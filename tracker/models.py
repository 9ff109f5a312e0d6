"""The words of the project as values: fields, markets, metrics, candles, summaries, ranks, alerts."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

from tracker.errors import BadId, SourceError

#: What is measured of a market -> which side of the pair is its unit. The order is the order of columns everywhere.
FIELDS = {"price": "quote", "volume": "base"}
PRICE, VOLUME = range(len(FIELDS))

#: Exchange and pair as they come from catalogues, lower case. 64 characters are three times the longest seen.
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
#: A currency's symbol; empty where it is not known.
CURRENCY = re.compile(r"[a-z0-9._-]{0,64}")
#: Characters of what a source calls a market.
LONGEST_NAME = 128
#: Markets of a catalogue: five times as many as the largest exchanges together have.
LARGEST = 100_000
MARKET_ID = re.compile(rf"({NAME}):({NAME})")
METRIC_ID = re.compile(rf"({NAME}:{NAME}):({'|'.join(FIELDS)})")


@lru_cache(100_000)
def matches(globs: tuple[str, ...], id: str) -> bool:
    """Whether one of ``globs`` matches the metric ``id``."""
    return any(fnmatchcase(id, glob) for glob in globs)


@dataclass(frozen=True)
class Market:
    """A pair traded on an exchange. ``base`` and ``quote`` are currency symbols, e.g. ``eth`` and ``btc``.

    name: what the source calls it, e.g. ``XETHXXBT``, where that cannot be told from the id; else empty. Raises BadId
    for an id, a symbol or a name that is none, or is too long.
    """

    id: str
    base: str
    quote: str
    name: str = ""

    def __post_init__(self) -> None:
        if not MARKET_ID.fullmatch(self.id):
            raise BadId(f"{self.id[:80]!r} is no market id: expected exchange:pair in lower case, e.g. kraken:btcusd")
        if not (CURRENCY.fullmatch(self.base) and CURRENCY.fullmatch(self.quote)):
            raise BadId(f"{self.id}: {self.base[:40]!r} and {self.quote[:40]!r} are no symbols of currencies")
        if not isinstance(self.name, str) or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise BadId(f"{self.id}: {self.name!r:.40} is no name that a source may have for it")


class Catalogue(list[Market]):
    """The markets that a source lists, each id once; ``refused``: how many entries made none."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self._ids: set[str] = set()

    def take(self, id: str, base: str, quote: str, name: str = "") -> None:
        """Adds a market, or counts what is none. Of two with one id the first stays. Raises SourceError at LARGEST."""
        try:
            market: Market | None = Market(id, base, quote, name)
        except BadId:
            market = None
        if not market or not base or not quote:
            self.refused += 1
            return
        if market.id in self._ids:
            return
        if len(self) == LARGEST:
            raise SourceError("too_long", f"the catalogue has more than {LARGEST:,} markets")
        self._ids.add(market.id)
        self.append(market)


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
    until: last slot the answer speaks for; None: the one in progress. What follows is still to be asked.
    """

    slots: np.ndarray
    values: np.ndarray
    covered: int
    refused: dict[str, int] = field(default_factory=dict)
    refused_slots: frozenset[int] = frozenset()
    until: int | None = None


@dataclass(frozen=True)
class Ticker:
    """A market in a source's answer about all of its markets: the last price, and the base traded in 24 h or None."""

    price: float
    traded: float | None = None


class Summary(NamedTuple):
    """A metric at its last evaluation. Values are in the metric's unit, NaN where there is no sample.

    slot: the newest slot with a sample, Unix seconds; last: its value; mean_1h: mean of the last hour's final slots;
    mean, stddev: over the final slots of 24 h, stddev with ddof 0; change_1h, change_24h: of ``last`` against the slot
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


class Rank(NamedTuple):
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
    """One firing of a rule, with the numbers that explain it, and what became of it.

    metric: its id; of a ``stale`` rule ``source:NAME``. slot: the slot of the rising edge, Unix seconds. value: what
    was compared; baseline: what it was compared with, as the rule's kind says, over the ``samples`` present samples in
    the ``window`` seconds before it; factor: the rule's limit. at: Unix seconds of the evaluation that found it.
    state: ``firing`` or ``resolved``; acknowledged: by, at, comment of the person who took it on.
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
    kind: str = "ratio"
    severity: str = "warning"
    text: str = ""
    state: str = "firing"
    resolved_at: float | None = None
    acknowledged: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The same firing has the same id however often it is found."""
        return f"{self.rule}:{self.metric}:{self.slot}"

    def __str__(self) -> str:
        return f"{self.text} [{self.id}]"


#: What a notice may tell: that an alert fires, that it is over, many of both at once, or that a channel works.
FIRING, RESOLVED, DIGEST, TEST = "firing", "resolved", "digest", "test"


@dataclass(frozen=True)
class Notice:
    """What a channel is given to send.

    id: the same for every attempt, so that a receiver can tell a repeat; key: the same for an alert's firing and
    resolved; severity: info, warning or critical; at: Unix seconds of what it tells; alert: None for a digest or test.
    """

    id: str
    key: str
    event: str
    severity: str
    title: str
    text: str
    at: float
    alert: Alert | None = None

    def __str__(self) -> str:
        return f"{self.text} [{self.key}]"


@dataclass(frozen=True)
class Attempt:
    """One try to send a notice: at Unix seconds; status: the receiver's HTTP status, if it gave one."""

    at: float
    ok: bool
    status: int | None
    detail: str


@dataclass(frozen=True)
class Delivery:
    """A row of the outbox: what became of the notice of one event, of one alert, on one channel.

    alert: its id, of a digest ``digest:BUCKET``; state: pending, delivered, dead, digested or silenced; next_try: Unix
    seconds, None once it is not pending.
    """

    alert: str
    channel: str
    event: str
    state: str = "pending"
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()
    next_try: float | None = None

    @property
    def id(self) -> str:
        return f"{self.alert}/{self.channel}/{self.event}"
