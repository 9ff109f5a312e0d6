"""The project's basic values: fields, markets, metrics, candles, summaries, ranks, alerts, notices."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

from tracker.errors import BadId, SourceError

#: Field of a market -> the side of the pair that is its unit. Arrays have their columns in this order.
FIELDS = {"price": "quote", "volume": "base"}
PRICE, VOLUME = range(len(FIELDS))

#: Name of an exchange or a pair, lower case. 64 characters are three times the longest name seen in a catalogue.
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
#: A currency's symbol; empty if it is not known.
CURRENCY = re.compile(r"[a-z0-9._-]{0,64}")
#: Most characters of a source's own name for a market.
LONGEST_NAME = 128
#: Most markets of a catalogue: five times as many as all large exchanges have together.
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

    name: the source's own name for it, e.g. ``XETHXXBT``; empty if that follows from the id. Raises BadId for an
    id, a symbol or a name that is malformed or too long.
    """

    id: str
    base: str
    quote: str
    name: str = ""

    def __post_init__(self) -> None:
        if not MARKET_ID.fullmatch(self.id):
            raise BadId(f"{self.id[:80]!r} is no market id: expected exchange:pair in lower case, e.g. kraken:btcusd")
        if not (CURRENCY.fullmatch(self.base) and CURRENCY.fullmatch(self.quote)):
            raise BadId(f"{self.id}: {self.base[:40]!r} and {self.quote[:40]!r} are not both symbols of currencies")
        if not isinstance(self.name, str) or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise BadId(f"{self.id}: {self.name!r:.40} is not a valid name of a market")


class Catalogue(list[Market]):
    """The markets that a source lists, each id once. ``refused`` counts the entries that are not valid markets."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self._ids: set[str] = set()

    def take(self, id: str, base: str, quote: str, name: str = "") -> None:
        """Adds a market, or counts an invalid one. Skips an id that is there. Raises SourceError beyond LARGEST."""
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
    """One field of one market. Charts, ranks and alerts are about metrics."""

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
        """Its index in arrays that have one entry for each field."""
        return list(FIELDS).index(self.field)

    def unit(self, market: Market) -> str:
        """The currency its values are counted in: the quote's for a price, the base's for a volume."""
        return str(getattr(market, FIELDS[self.field]))


@dataclass(frozen=True)
class Candles:
    """Slots of one market as a source gave them, oldest first, each slot once.

    slots: int64 (n,), opening times in Unix seconds, multiples of the step.
    values: float64 (n, fields): price in quote units, volume in base units traded in the slot.
    covered: first slot of the period that the answer covers. A slot in the period that is neither in ``slots`` nor in
        ``refused_slots`` had no trade.
    refused: reason -> number of refused candles; ``refused_slots`` are their slots. Their stored values stay.
    until: last slot of that period; None means the slot in progress. Later slots must still be fetched.
    """

    slots: np.ndarray
    values: np.ndarray
    covered: int
    refused: dict[str, int] = field(default_factory=dict)
    refused_slots: frozenset[int] = frozenset()
    until: int | None = None


@dataclass(frozen=True)
class Ticker:
    """A market's last price, and the amount traded in 24 h in base units, None if the source does not say."""

    price: float
    traded: float | None = None


class Summary(NamedTuple):
    """A metric's numbers at its last evaluation, in the metric's unit. NaN where there is no sample.

    slot: the newest slot with a sample, Unix seconds; last: its value; mean_1h: mean of the last hour's final slots;
    mean, stddev: over the final slots of 24 h, stddev with ddof 0; change_1h, change_24h: change from the slot one hour
    and one day before the slot in progress to ``last``, as fractions; cv: stddev / mean; at: Unix seconds of the
    evaluation.
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
    """Position among the ``of`` ranked metrics of the field, by stddev or by cv. 1 is the most volatile."""

    position: int
    of: int

    @property
    def text(self) -> str:
        return f"{self.position}/{self.of}"


class Standing(NamedTuple):
    """A metric's numbers and ranks at its last evaluation. ``cv_rank`` is None if the mean is 0."""

    summary: Summary
    rank: Rank
    cv_rank: Rank | None


@dataclass(frozen=True)
class Alert:
    """One firing of a rule: the numbers that explain it, and its state now.

    metric: the metric's id, or ``source:NAME`` for a ``stale`` rule. slot: the slot of the rising edge, Unix seconds.
    value: the number that was compared with ``baseline``, which the rule's kind defines over the ``samples`` present
    samples in the ``window`` seconds before the slot; factor: the rule's limit. at: Unix seconds of the evaluation that
    found it. details: what else the rule's kind tells, or None. state: ``firing`` or ``resolved``; acknowledged: by,
    at, comment of a person. late: its slot came too late for a notice of its own.
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
    details: dict[str, Any] | None = None
    state: str = "firing"
    resolved_at: float | None = None
    acknowledged: dict[str, Any] | None = None
    late: bool = False

    @property
    def id(self) -> str:
        """Depends on rule, metric and slot only: a firing that is found twice has one id."""
        return f"{self.rule}:{self.metric}:{self.slot}"

    def __str__(self) -> str:
        return f"{self.text} [{self.id}]"


#: Events of a notice: an alert fires, it still fires and nobody has acknowledged it, it is over, a digest of many of
#: these, a test of the channel.
FIRING, REMINDER, RESOLVED, DIGEST, TEST = "firing", "reminder", "resolved", "digest", "test"


class Action(NamedTuple):
    """Something that a reader of a notice can do. ``url``: a signed link, whoever has it can do it."""

    name: str
    label: str
    url: str


@dataclass(frozen=True)
class Notice:
    """A message for a channel to send.

    id: the same for every attempt, so that a receiver can recognise a repeat; key: the same for all notices of an
    alert; severity: info, warning or critical; at: Unix seconds of the event; alert: None for a
    digest or test. context: what is around the alert, a line each; link: URL of the page that shows the
    alert, empty if there is none; actions: what its reader can do about the alert;
    picture: a PNG of the alert's metric, for a channel that attaches it; picture_link: a signed URL of it for others.
    """

    id: str
    key: str
    event: str
    severity: str
    title: str
    text: str
    at: float
    alert: Alert | None = None
    context: tuple[str, ...] = ()
    link: str = ""
    actions: tuple[Action, ...] = field(default=(), repr=False)
    picture: bytes = field(default=b"", repr=False)
    picture_link: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.text} [{self.key}]"

    def lines(self) -> list[str]:
        """What people read, the most important first: the text, its context, and links."""
        links = [self.link] if self.link else []
        links += [f"{action.label}: {action.url}" for action in self.actions]
        links += [f"Picture: {self.picture_link}"] if self.picture_link else []
        return [self.text, *self.context, *links]


@dataclass(frozen=True)
class Attempt:
    """One try to send a notice. at: Unix seconds; status: the receiver's HTTP status, None without an answer."""

    at: float
    ok: bool
    status: int | None
    detail: str


@dataclass(frozen=True)
class Delivery:
    """A row of the outbox: the delivery of one alert's notice about one event on one channel.

    alert: the alert's id, or that of a digest, ``digest:TIME`` or ``late:TIME``; state: pending, delivered, dead,
    digested or silenced; next_try: Unix seconds, None if it is not pending. wait: seconds in which people may
    acknowledge the alert before this is sent, 0 for none; a reminder is sent again after as many. number: how many
    reminders were sent.
    """

    alert: str
    channel: str
    event: str
    state: str = "pending"
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()
    next_try: float | None = None
    wait: int = 0
    number: int = 0

    @property
    def id(self) -> str:
        return f"{self.alert}/{self.channel}/{self.event}"
