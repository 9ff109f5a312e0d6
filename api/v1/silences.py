"""Silences: whose notices are held back for a time."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from apiflask import APIBlueprint, abort
from flask import Response, current_app, jsonify, url_for
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.serving.problems import documented, refuse
from api.v1.schemas import Body, Query
from tracker.alerts.silences import Silences
from tracker.alerts.tables import duration, globs
from tracker.clock import wall
from tracker.errors import TrackerError
from tracker.series.ring import DAY

bp = APIBlueprint("silences", __name__, tag="Alerts")

LONGEST = 366 * DAY

Lasting = Annotated[int, duration(1, LONGEST)]


def _future(until: float) -> float:
    if not wall() < until < wall() + LONGEST:
        raise ValueError("expected a Unix time in seconds, in the future by at most a year; `for` needs no clock")
    return until


class SilencePath(BaseModel):
    id: str = Field(description="Id of a silence.")


class NewSilence(Body):
    """Give either `for` or `until`. Both use the wall clock, also in a replay."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["for"]}, {"required": ["until"]}]})

    match: Annotated[str | list[str], AfterValidator(globs)] = Field(
        description="A glob on metric ids, or a list of them.", examples=["kraken:*:volume"]
    )
    for_: Lasting | None = Field(
        None, alias="for", description="How long it lasts: seconds of real time, or `90s`, `5m`, `1h`.", examples=["1h"]
    )
    until: Annotated[float, AfterValidator(_future)] | None = Field(None, description="When it ends, Unix seconds.")
    reason: str = Field(min_length=1, max_length=500, description="Why, for other people to read.")


class SilenceRow(BaseModel):
    id: str = Field(description="Its id.")
    match: list[str] = Field(description="Globs on metric ids.")
    until: float = Field(description="When it ends, Unix seconds of the wall clock.")
    reason: str = Field(description="Why.")


class SilenceList(BaseModel):
    silences: list[SilenceRow] = Field(description="The silences in force, by the time they end.")


@bp.get("/silences")
@bp.input(Query, location="query")
@bp.output(SilenceList)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_silences(**_: object) -> Response:
    """Which silences are in force?"""
    return jsonify(silences=[asdict(each) for each in _silences().all(wall())])


@bp.post("/silences")
@bp.input(NewSilence, arg_name="silence")
@bp.output(SilenceRow, status_code=HTTPStatus.CREATED)
@bp.doc(responses=documented(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def add_silence(silence: NewSilence) -> Response:
    """Stop the notices of some metrics for a time

    Their alerts are still recorded.
    """
    if (silence.for_ is None) == (silence.until is None):
        refuse("json", "for", "expected either `for` or `until`, and not both")
    now = wall()  # silences and deliveries use the wall clock
    until = silence.until or now + (silence.for_ or 0)
    try:
        made = _silences().add(tuple(silence.match), until, silence.reason, now)
    except TrackerError as error:
        if type(error) is not TrackerError:
            raise
        abort(HTTPStatus.CONFLICT, detail=str(error))
    answer = jsonify(asdict(made))
    answer.status_code = HTTPStatus.CREATED
    return answer


@bp.delete("/silences/<id>")
@bp.input(SilencePath, location="path")
@bp.output({}, status_code=HTTPStatus.NO_CONTENT)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE))
def remove_silence(id: str, **_: object) -> tuple[str, int]:
    """End a silence"""
    if not _silences().remove(id):
        abort(
            404, detail=f"This silence does not exist or has ended. {url_for('.list_silences')} lists those in force."
        )
    return "", HTTPStatus.NO_CONTENT


def _silences() -> Silences:
    return Silences(current_app.extensions["store"].redis)
