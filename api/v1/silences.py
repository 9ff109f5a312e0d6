"""Silences: which notices are held back for a time, by whom and why, and of which alerts they are."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

from apiflask import APIBlueprint, abort
from flask import Response, jsonify, url_for
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.serving.problems import documented, refuse
from api.v1 import context
from api.v1.schemas import Body, Query
from tracker.alerts.held import COUNTED, LATEST
from tracker.alerts.outbox import LONGEST_NAME
from tracker.alerts.quiet import PREFIX
from tracker.alerts.rules import SEVERITIES
from tracker.alerts.silences import Silence, severities
from tracker.alerts.tables import duration, globs
from tracker.clock import wall
from tracker.series.ring import DAY

bp = APIBlueprint("silences", __name__, tag="Alerts")

LONGEST = 366 * DAY
#: A silence has so many globs of each kind. Each notice is compared with all of them.
GLOBS = 50
ENDS: list[Any] = [{"required": ["for"]}, {"required": ["until"]}]
MATCHERS = ("match", "rule", "severity")

Lasting = Annotated[int, duration(1, LONGEST)]


def _future(until: float) -> float:
    if not wall() < until < wall() + LONGEST:
        raise ValueError("expected a Unix time in seconds, in the future by at most a year; `for` needs no clock")
    return until


def _metrics(value: Any) -> tuple[str, ...]:
    return globs(value, most=GLOBS)


def _rules(value: Any) -> tuple[str, ...]:
    return globs(value, 'names of rules, e.g. "busy-*"', GLOBS)


class SilencePath(BaseModel):
    id: str = Field(description="Id of a silence.")


class End(Body):
    """Give either `for` or `until`. Both use the wall clock, also in a replay."""

    model_config = ConfigDict(json_schema_extra={"oneOf": ENDS})

    for_: Lasting | None = Field(
        None, alias="for", description="How long it lasts from now on: seconds of real time, or `90s`, `5m`, `1h`.",
        examples=["1h"],
    )  # fmt: skip
    until: Annotated[float, AfterValidator(_future)] | None = Field(None, description="When it ends, Unix seconds.")

    def at(self, now: float) -> float:
        """The end, Unix seconds. Ends the request if it is given twice, or not at all."""
        if (self.for_ is None) == (self.until is None):
            refuse("json", "for", "expected either `for` or `until`, and not both")
        return self.until or now + (self.for_ or 0)


class NewSilence(End):
    """Whose notices are held back, and for how long. An alert must match `match`, `rule` and `severity`, if given.

    Give at least one of these three. Give either `for` or `until`; both use the wall clock, also in a replay.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": ENDS, "anyOf": [{"required": [name]} for name in MATCHERS]})

    match: Annotated[str | list[str], AfterValidator(_metrics)] = Field(
        ["*"], description=f"A glob on metric ids, or a list of up to {GLOBS}.", examples=["kraken:*:volume"]
    )
    rule: Annotated[str | list[str], AfterValidator(_rules)] = Field(
        ["*"], description=f"A glob on names of rules, or a list of up to {GLOBS}.", examples=["busy"]
    )
    severity: Annotated[str | list[str], AfterValidator(severities)] = Field(
        [*SEVERITIES], description=f"A severity, or a list of them: {', '.join(SEVERITIES)}.", examples=["info"]
    )
    by: str = Field("", max_length=LONGEST_NAME, description="Who makes it.")
    reason: str = Field(min_length=1, max_length=500, description="Why, for other people to read.")


class HeldAlert(BaseModel):
    alert: str = Field(description="Id of the alert.", examples=["busy:kraken:btcusd:volume:1700000040"])
    at: float = Field(description="When a notice of it was last held back, Unix seconds.")


class SilenceRow(BaseModel):
    id: str = Field(description="Its id. Quiet hours of the rules file have `quiet:NAME:BEGIN`.")
    match: list[str] = Field(description="Globs on metric ids.")
    rule: list[str] = Field(description="Globs on names of rules.")
    severity: list[str] = Field(description="Severities.")
    until: float = Field(description="When it ends, Unix seconds of the wall clock.")
    by: str = Field(description="Who made it: a person, or `the rules file`. Empty if nobody was named.")
    reason: str = Field(description="Why.")
    held: int = Field(description=f"The number of alerts that it has held back, {COUNTED:,} at most.")
    latest: list[HeldAlert] = Field(description=f"The last {LATEST} of them, the last one first.")


class SilenceList(BaseModel):
    silences: list[SilenceRow] = Field(description="The silences and quiet hours in force, by the time they end.")


@bp.get("/silences")
@bp.input(Query, location="query")
@bp.output(SilenceList)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_silences(**_: object) -> Response:
    """Which silences are in force, and what has each held back?"""
    return jsonify(silences=_shown(context.outbox().silences.listed(wall())))


@bp.post("/silences")
@bp.input(NewSilence, arg_name="silence")
@bp.output(SilenceRow, status_code=HTTPStatus.CREATED)
@bp.doc(responses=documented(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def add_silence(silence: NewSilence) -> Response:
    """Stop the notices of some alerts for a time

    The alerts are still recorded.
    """
    now = wall()  # silences and deliveries use the wall clock
    until = silence.at(now)
    if not silence.model_fields_set & {*MATCHERS}:
        refuse("json", "match", f"expected at least one of {', '.join(MATCHERS)}: for all alerts, a `match` of *")
    globs = tuple(silence.match), tuple(silence.rule), tuple(silence.severity)
    made = context.outbox().silences.add(globs[0], until, silence.reason, now, silence.by, *globs[1:])
    answer = jsonify(*_shown([made]))
    answer.status_code = HTTPStatus.CREATED
    return answer


@bp.patch("/silences/<id>")
@bp.input(SilencePath, location="path")
@bp.input(End, arg_name="end")
@bp.output(SilenceRow)
@bp.doc(
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    )
)
def change_silence(id: str, end: End, **_: object) -> Response:
    """Let a silence last longer, or end sooner"""
    _refuse_quiet_hours(id)
    now = wall()
    return jsonify(*_shown([context.outbox().silences.end_at(id, end.at(now), now) or _no_silence()]))


@bp.delete("/silences/<id>")
@bp.input(SilencePath, location="path")
@bp.output({}, status_code=HTTPStatus.NO_CONTENT)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE))
def remove_silence(id: str, **_: object) -> tuple[str, int]:
    """End a silence"""
    _refuse_quiet_hours(id)
    if not context.outbox().silences.remove(id):
        _no_silence()
    return "", HTTPStatus.NO_CONTENT


def _refuse_quiet_hours(id: str) -> None:
    if id.startswith(PREFIX):
        abort(HTTPStatus.CONFLICT, detail="Quiet hours are in the rules file: change or remove them there.")


def _no_silence() -> NoReturn:
    abort(404, detail=f"This silence does not exist or has ended. {url_for('.list_silences')} lists those in force.")


def _shown(silences: list[Silence]) -> list[dict[str, Any]]:
    """``silences`` as SilenceRows."""
    held = context.outbox().deliveries.held.back([each.id for each in silences])
    return [
        asdict(silence) | {"held": back.count, "latest": [{"alert": id, "at": at} for id, at in back.latest]}
        for silence, back in zip(silences, held, strict=True)
    ]
