"""What requests may say and what answers look like, as the OpenAPI document shows it.

Queries are validated by these models. Answers are not, for speed: the tests compare them with the models.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tracker.models import FIELDS, NAME
from tracker.series.ring import DAY

EXAMPLE = "kraken:btcusd:volume"
MARKET_EXAMPLE = "kraken:btcusd"
#: The possible steps of a series: whole minutes that divide a day.
STEPS: list[Any] = [step for step in range(60, DAY + 1, 60) if DAY % step == 0]


#: What `fields` may name: a row's fields.
ROW = (
    "id", "exchange", "pair", "base", "quote", "field", "unit", "last", "last_slot", "change_1h", "change_24h",
    "mean_1h", "mean_24h", "stddev_24h", "cv_24h", "rank", "cv_rank", "spark",
)  # fmt: skip
_names = "|".join(ROW)


class Query(BaseModel):
    """No query parameters. A misspelled one is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """Refuses a misspelled field instead of ignoring it."""

    model_config = ConfigDict(extra="forbid")


class Filters(Query):
    q: str | None = Field(
        None, max_length=100, description="Only metrics whose id contains each of these words, e.g. `kraken btc`."
    )
    exchange: str | None = Field(None, pattern=f"^{NAME}$", description="Only metrics of this exchange, in lower case.")
    pair: str | None = Field(None, pattern=f"^{NAME}$", description="Only metrics of this pair, in lower case.")
    quote: str | None = Field(
        None, pattern=f"^{NAME}$", description="Only metrics of pairs with this quote currency, in lower case."
    )
    field: str | None = Field(
        None, pattern=f"^({'|'.join(FIELDS)})$", description=f"Only metrics of this field: {', '.join(FIELDS)}."
    )


class MetricsQuery(Filters):
    order: str = Field(
        "rank",
        pattern="^-?(rank|cv|last|change|id)$",
        description="`rank`: standard deviation, `cv`: coefficient of variation, `last`: newest value, `change`: "
        "change in 24 h, the largest first; or `id`. A leading `-` reverses the order. Without `field`, prices come "
        "before volumes, except by `id`. Metrics without the number come last.",
    )
    limit: int = Field(100, ge=1, le=10_000, description="At most this many metrics.")
    cursor: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Only metrics after this place: `next` of the previous page, with the same `order`. A metric whose "
        "number stays as it is comes exactly once, even if other metrics move between two pages.",
    )
    fields: str | None = Field(
        None,
        pattern=f"^({_names})(,({_names}))*$",
        description="Only these fields of each metric, separated by commas, and `id`. `spark` is left out unless it is "
        "asked for here.",
        examples=["id,last,rank"],
    )

    @property
    def names(self) -> frozenset[str] | None:
        """The fields that are asked for; None for all but ``spark``."""
        return None if self.fields is None else frozenset(self.fields.split(",")) | {"id"}


class SeriesQuery(Query):
    since: int | None = Field(
        None,
        ge=0,
        le=2**40,
        description="Only values of steps that begin at this time (Unix seconds) or later. To watch, ask since "
        "`start + final * step` of the last answer: the first step that may have changed.",
    )
    step: int | None = Field(
        None,
        ge=60,
        le=DAY,
        description="Seconds of a step. A coarser step is a multiple of the tracker's own and divides a day. "
        "A step begins at a multiple of its length. The first step lies whole in the window.",
        json_schema_extra={"anyOf": [{"type": "integer", "enum": STEPS}, {"type": "null"}]},
    )
    aggregate: str = Field(
        "mean",
        pattern="^(mean|min|max|last)$",
        description="How the values within a coarser step become one: `mean`, `min`, `max` or `last`.",
    )


class MoversQuery(Query):
    field: str = Field("price", pattern=f"^({'|'.join(FIELDS)})$", description=f"Of which field: {', '.join(FIELDS)}.")
    by: str = Field(
        "stddev",
        pattern="^(stddev|cv|change)$",
        description="`stddev`: standard deviation, `cv`: coefficient of variation, `change`: change in 24 h.",
    )
    limit: int = Field(10, ge=1, le=100, description="At most this many at each end.")


class MetricPath(BaseModel):
    id: str = Field(description="Metric id, `exchange:pair:field` in lower case.", examples=[EXAMPLE])


class MarketPath(BaseModel):
    id: str = Field(description="Market id, `exchange:pair` in lower case.", examples=[MARKET_EXAMPLE])


class Rank(BaseModel):
    """A position among the ranked metrics of the same field."""

    position: int = Field(ge=1, description="1 is the most volatile.")
    of: int = Field(ge=1, description="Number of ranked metrics.")
    text: str = Field(description="Position and number as one text.", examples=["1/3"])


class Numbers(BaseModel):
    """A metric's last 24 hours in numbers; null where there are no samples to compute one from."""

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
    change_1h: float | None = Field(
        description="Change of `last` against the slot an hour before the one in progress, as a fraction: 0.01 is "
        "+1 %. Null if that is missing or 0."
    )
    change_24h: float | None = Field(description="The same, against the slot 24 hours before the one in progress.")
    mean_1h: float | None = Field(description="Mean of the last hour's final slots, in `unit`.")
    mean_24h: float | None = Field(description="Mean of the last 24 hours' final slots, in `unit`.")
    stddev_24h: float | None = Field(
        description="Standard deviation (population) of the last 24 hours' final slots, in `unit`."
    )
    cv_24h: float | None = Field(
        description="Coefficient of variation: `stddev_24h / mean_24h`, without a unit. Null if the mean is 0."
    )
    rank: Rank | None = Field(description="By `stddev_24h`, as of the last evaluation. Null without samples.")
    cv_rank: Rank | None = Field(description="By `cv_24h`, as of the last evaluation. Null without one.")


class MarketNames(BaseModel):
    exchange: str = Field(examples=["kraken"], description="Where the pair is traded.")
    pair: str = Field(examples=["btcusd"], description="What is traded there, as the exchange calls it.")
    base: str | None = Field(
        examples=["btc"], description="Currency that is traded. Null if the market is no longer watched."
    )
    quote: str | None = Field(
        examples=["usd"], description="Currency that it is paid in. Null if the market is no longer watched."
    )


class MetricRow(Numbers, MarketNames):
    """A metric and its last 24 hours in numbers; null where there are no samples to compute one from."""

    id: str = Field(description="`exchange:pair:field`.", examples=[EXAMPLE])


class Window(BaseModel):
    """The times of the values."""

    start: int = Field(description="When the first step begins, Unix seconds.")
    step: int = Field(description="Seconds between two values.")
    closed: int = Field(
        description="Number of values whose step has ended. One more value, of the step in progress, may follow."
    )
    final: int = Field(
        description="Number of values that do not change any more: the source was asked after their step had ended. A "
        "null among them may still be filled. All later values may still change, even if their step has ended."
    )


def _only_id_required(schema: dict[str, Any]) -> None:
    schema["required"] = ["id"]


class ListedMetric(MetricRow):
    """A metric's row, or those of its fields that `fields` asked for."""

    model_config = ConfigDict(json_schema_extra=_only_id_required)

    spark: list[float | None] = Field(
        [],
        description="48 values, oldest first, in `unit`: means of the half hours of the last 24 hours, null where "
        "missing. Only if `fields` asks for it.",
    )


class Metrics(BaseModel):
    """A page of metrics. Numbers are as of the last evaluation."""

    metrics: list[ListedMetric] = Field(description="The metrics of this page.")
    next: str | None = Field(description="`cursor` of the next page. Null on the last page.")
    total: int = Field(ge=0, description="Number of metrics on all pages.")


class Series(Window, MetricRow):
    """A metric's last 24 hours. The numbers describe the whole window, even if only a part of it is shown."""

    values: list[float | None] = Field(description="One value a step, oldest first, in `unit`. Null where missing.")


class FieldSeries(Numbers):
    """The last 24 hours of one field of a market."""

    values: list[float | None] = Field(description="One value a step, oldest first, in `unit`. Null where missing.")


class MarketSeries(Window, MarketNames):
    """A market's last 24 hours."""

    id: str = Field(description="`exchange:pair`.", examples=[MARKET_EXAMPLE])
    price: FieldSeries = Field(description="Its price, in the quote currency.")
    volume: FieldSeries = Field(description="What was traded in each step, in the base currency.")


class Movers(BaseModel):
    """The metrics of a field that move most and least."""

    field: str = Field(description="As asked for.", examples=["price"])
    by: str = Field(description="As asked for.", examples=["stddev"])
    top: list[MetricRow] = Field(description="Those with the largest number, the largest first.")
    bottom: list[MetricRow] = Field(description="Those with the smallest number, the smallest first.")


class SourceHealth(BaseModel):
    last_success: float | None = Field(description="When the source last gave samples, Unix seconds. Null: not yet.")
    last_error_at: float | None = Field(description="When it last gave nothing usable, Unix seconds. Null: never.")
    state: str = Field(
        examples=["fresh"],
        description="`fresh`, `late` if its data is older than two intervals, or `waiting` for the first.",
    )


class Live(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"], description="Always `ok`.")


class Ready(BaseModel):
    """The store answers, and no source is late."""

    status: str = Field(examples=["ok"], description="Always `ok`. A failure is a problem with status 503.")
    sources: dict[str, str] = Field(description="By name: `fresh`, or `waiting` for its first data.")


class ReplicaHealth(BaseModel):
    """The replica that the API reads from."""

    lag: float | None = Field(description="Seconds that it is behind the store. Null: none is used.")
    reason: str = Field(description="Why none is used: the API reads from the store itself. Else empty.")


class Health(BaseModel):
    """The API and its store answer. `sources` shows whether samples are fresh."""

    status: str = Field(examples=["ok"], description="Always `ok`. A failure is a problem with status 503.")
    ready: bool = Field(description="Whether the data of every source is at most two intervals old, as `/readyz` asks.")
    reasons: list[str] = Field(description="Why it is not ready. Else empty.")
    store: str = Field(
        examples=["ok"], description="`ok`, or `read-only`: only a replica answers, and nothing can be written."
    )
    replica: ReplicaHealth | None = Field(description="Null without `REDIS_READ_URL`.")
    metrics: int = Field(ge=0, description="Number of ranked metrics.")
    sources: dict[str, SourceHealth] = Field(description="By name, as configured.")


class Index(BaseModel):
    """The paths of the API."""

    metrics: str = Field(description="Path of the list of metrics.")
    movers: str = Field(description="Path of the metrics that move most and least.")
    health: str = Field(description="Path of the health check.")
    openapi: str = Field(description="Path of the OpenAPI document.")
    docs: str = Field(description="Path of a page that shows it.")


class Invalid(BaseModel):
    """A parameter that is unknown, or whose value is not valid."""

    location: str = Field(examples=["query"], description="Where the parameter is.")
    name: str = Field(examples=["limit"], description="The parameter's name.")
    detail: str = Field(description="What was expected of it.")


class Problem(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str = Field(examples=["about:blank"], description="Always `about:blank`. See `status`.")
    title: str = Field(examples=["Not Found"], description="The status in words.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(description="What went wrong and what to do about it.")
    request_id: str | None = Field(None, description="The answer's `X-Request-Id`. The API's log has it too.")
    errors: list[Invalid] | None = Field(None, description="Only with status 422: each wrong parameter.")
