"""The state of each source."""

from http import HTTPStatus

from apiflask import APIBlueprint
from flask import Response, jsonify
from pydantic import BaseModel, Field

from api.serving.problems import documented
from api.v1 import context
from api.v1.schemas import Query
from tracker.sources import status

bp = APIBlueprint("sources", __name__, tag="Sources")


class SourceMarkets(BaseModel):
    tracked: int = Field(description="Markets on the watch list.")
    stale: int = Field(description="Of these, without an answer for three intervals.")
    of_catalogue: int | None = Field(description="Markets the source has in all.")


class SourceBudget(BaseModel):
    limit: float | None = Field(description="Units, mostly requests, in any `period`. Null: unlimited.")
    period: int | None = Field(description="Seconds.")
    used: float | None = Field(description="Units spent in the period that ends now.")
    deferred: int = Field(description="Markets that the last tick left out because the budget was spent.")


class SourceBreaker(BaseModel):
    state: str = Field(examples=["closed"], description="`closed`, `open`, `probing` or `blocked`.")
    failures: int = Field(description="Failures in a row.")
    until: float | None = Field(description="When it may be asked again, Unix seconds.")


class Source(BaseModel):
    """The state of a source. Times are Unix seconds, null: never."""

    name: str = Field(examples=["kraken"], description="As in `SOURCES`.")
    kind: str = Field(examples=["exchange"], description="`exchange`, `cryptowatch` or `simulator`.")
    state: str = Field(examples=["ok"], description="`ok`, `degraded`, `down`, `blocked` or `starting`.")
    reason: str = Field(description="Why it is not `ok`, else empty.")
    interval: float = Field(description="Seconds between two fetches of a market.")
    markets: SourceMarkets = Field(description="Its markets.")
    newest_slot: int | None = Field(description="Newest slot of its last answer.")
    last_success: float | None = Field(description="When it last gave an answer that was stored.")
    last_error: str | None = Field(description="What went wrong last.")
    last_error_at: float | None = Field(description="When that was.")
    budget: SourceBudget = Field(description="Its budget, shared by all workers.")
    breaker: SourceBreaker = Field(description="Whether it may be asked.")
    clock_skew: float | None = Field(description="Seconds that its clock is ahead of ours.")
    refused: dict[str, int] = Field(description="Reason -> number of candles or answers refused.")


class Sources(BaseModel):
    sources: list[Source] = Field(description="As configured.")


@bp.get("/sources")
@bp.input(Query, location="query")
@bp.output(Sources)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def sources(**_: object) -> Response:
    """Can each source be reached, is it within its budget, and are its markets fresh?

    A source that is down and a market that is stale are states, not alerts.
    """
    states = status.states(context.store(), context.settings())
    return jsonify(sources=[state.as_json() for state in states])
