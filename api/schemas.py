"""What requests may say and what answers look like, as the OpenAPI document shows it.

Queries are validated by these models. Answers are not, for speed: the tests hold them against the models.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from tracker.errors import BadId
from tracker.models import FIELDS, NAME, Metric

EXAMPLE = "kraken:btcusd:volume"


def _metric_id(id: str) -> str:
    try:
        return Metric.parse(id).id
    except BadId as error:
        raise PydanticCustomError("metric_id", "{reason}", {"reason": str(error)}) from error


# Requests


class Query(BaseModel):
    """No query parameters. A misspelled one is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class MetricsQuery(Query):
    field: str | None = Field(
        None, pattern=f"^({'|'.join(FIELDS)})$", description=f"Only metrics of this field: {', '.join(FIELDS)}."
    )
    exchange: str | None = Field(None, pattern=f"^{NAME}$", description="Only metrics of this exchange, in lower case.")
    limit: int = Field(100, ge=1, le=1000, description="At most this many metrics.")
    after: Annotated[str, AfterValidator(_metric_id)] | None = Field(
        None, description="Only metrics behind this id: `next` of the page before.", examples=[EXAMPLE]
    )


class MetricPath(BaseModel):
    id: str = Field(description="Metric id, `exchange:pair:field` in lower case.", examples=[EXAMPLE])


# Answers


class Rank(BaseModel):
    """Position by standard deviation over 24 h among the metrics of the field that have one."""

    position: int = Field(ge=1, description="1 is the most volatile.")
    of: int = Field(ge=1, description="Number of ranked metrics.")
    text: str = Field(description="Both in one.", examples=["1/3"])


class MetricSummary(BaseModel):
    """A metric and its last 24 hours in numbers; null where there are no samples to compute one from."""

    id: str = Field(description="`exchange:pair:field`.", examples=[EXAMPLE])
    exchange: str = Field(examples=["kraken"], description="Where the pair is traded.")
    pair: str = Field(examples=["btcusd"], description="What is traded there, as the exchange calls it.")
    field: str = Field(
        examples=["volume"], description="`price`: of the last trade of a slot; `volume`: traded within a slot."
    )
    unit: str | None = Field(
        examples=["btc"],
        description="Currency of all values: the pair's quote for a price, its base for a volume. "
        "Null if the market is no longer watched.",
    )
    last: float | None = Field(description="Newest sample, in `unit`.")
    last_slot: int | None = Field(description="Slot of the newest sample: its opening time, Unix seconds.")
    mean_1h: float | None = Field(description="Mean of the last hour's closed slots, in `unit`.")
    mean_24h: float | None = Field(description="Mean of the last 24 hours' closed slots, in `unit`.")
    stddev_24h: float | None = Field(
        description="Standard deviation (population) of the last 24 hours' closed slots, in `unit`."
    )
    rank: Rank | None = Field(description="As of the last evaluation. Null without samples.")


class Metrics(BaseModel):
    """A page of metrics, ordered by id. Numbers are as of the last evaluation."""

    metrics: list[MetricSummary] = Field(description="The metrics of this page.")
    next: str | None = Field(description="`after` of the next page. Null on the last page.")
    total: int = Field(ge=0, description="Number of metrics on all pages.")


class Series(MetricSummary):
    """What a metric did in the last 24 hours. Numbers are of the values shown."""

    start: int = Field(description="Slot of the first value: its opening time, Unix seconds.")
    step: int = Field(description="Seconds from one value to the next.")
    closed: int = Field(
        description="Number of values of closed slots: the 24 hours that statistics are of. "
        "One more follows, of the slot in progress, which still changes."
    )
    values: list[float | None] = Field(description="One value a slot, oldest first, in `unit`. Null where missing.")


class SourceHealth(BaseModel):
    last_success: float | None = Field(description="When the source last gave samples, Unix seconds. Null: not yet.")
    last_error_at: float | None = Field(description="When it last gave nothing usable, Unix seconds. Null: never.")


class Health(BaseModel):
    """The API and its store answer. Whether samples are fresh is told by `sources`."""

    status: str = Field(examples=["ok"], description="Always `ok`: anything else is a problem with status 503.")
    store: str = Field(examples=["ok"], description="Always `ok`, likewise.")
    metrics: int = Field(ge=0, description="Number of ranked metrics.")
    sources: dict[str, SourceHealth] = Field(description="By name, as configured.")


class Index(BaseModel):
    """What is where."""

    metrics: str = Field(description="Path of the list of metrics.")
    health: str = Field(description="Path of the health check.")
    openapi: str = Field(description="Path of the OpenAPI document.")


class Invalid(BaseModel):
    """A parameter that is unknown, or whose value is not usable."""

    location: str = Field(examples=["query"], description="Where the parameter is.")
    name: str = Field(examples=["limit"], description="The parameter's name.")
    detail: str = Field(description="What was expected of it.")


class Problem(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str = Field(examples=["about:blank"], description="Always `about:blank`: the status says it all.")
    title: str = Field(examples=["Not Found"], description="The status in words.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(description="What went wrong and what to do about it.")
    errors: list[Invalid] | None = Field(None, description="Only with status 422: each parameter to put right.")


# Sources


class SourceMarkets(BaseModel):
    tracked: int = Field(description="Markets on the watch list.")
    stale: int = Field(description="Of these, without an answer for three intervals.")
    of_catalogue: int | None = Field(description="Markets the source has in all.")


class SourceBudget(BaseModel):
    limit: float | None = Field(description="Units, mostly requests, in any `period`. Null: unlimited.")
    period: int | None = Field(description="Seconds.")
    used: float | None = Field(description="Units spent in the period that ends now.")
    deferred: int = Field(description="Markets that the last tick could not pay for.")


class SourceBreaker(BaseModel):
    state: str = Field(examples=["closed"], description="`closed`, `open`, `probing` or `blocked`.")
    failures: int = Field(description="Failures in a row.")
    until: float | None = Field(description="Until when it is not asked, Unix seconds.")


class Source(BaseModel):
    """How a source does. Times are Unix seconds, null: never."""

    name: str = Field(examples=["kraken"], description="As in `SOURCES`.")
    kind: str = Field(examples=["exchange"], description="`exchange`, `cryptowatch` or `simulator`.")
    state: str = Field(examples=["ok"], description="`ok`, `degraded`, `down`, `blocked` or `starting`.")
    reason: str = Field(description="Why it is not `ok`, else empty.")
    interval: float = Field(description="Seconds between two fetches of a market.")
    markets: SourceMarkets = Field(description="What is tracked of it.")
    newest_slot: int | None = Field(description="Newest slot of its last answer.")
    last_success: float | None = Field(description="When it last gave an answer that was stored.")
    last_error: str | None = Field(description="What went wrong last.")
    last_error_at: float | None = Field(description="When that was.")
    budget: SourceBudget = Field(description="What it may be asked, shared by all workers.")
    breaker: SourceBreaker = Field(description="Whether it is asked at all.")
    clock_skew: float | None = Field(description="Seconds that its clock is ahead of ours.")
    refused: dict[str, int] = Field(description="Reason -> number of candles or answers refused.")


class Sources(BaseModel):
    sources: list[Source] = Field(description="As configured.")
