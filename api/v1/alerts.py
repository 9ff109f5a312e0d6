"""Alerts: what fired, why, and which notices were sent. Also silences, acknowledgements and redrives."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

from apiflask import APIBlueprint, abort
from flask import Response, current_app, jsonify, request, url_for
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.serving.problems import documented, refuse
from api.v1 import context
from api.v1.alert_details import Details
from api.v1.schemas import EXAMPLE, Query
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import KINDS, SEVERITIES
from tracker.alerts.silences import Silences
from tracker.alerts.tables import duration, globs
from tracker.clock import wall
from tracker.errors import TrackerError
from tracker.models import METRIC_ID, Alert, Delivery
from tracker.series.ring import DAY

bp = APIBlueprint("alerts", __name__, tag="Alerts")

#: The most alerts that one request reads. A rare alert may be on a later page.
LOOKED_AT = 2_000
LONGEST_SILENCE = 366 * DAY
ALERT_EXAMPLE = "above-3x-1h-mean:kraken:btcusd:volume:1700000040"

Lasting = Annotated[int, duration(1, LONGEST_SILENCE)]


def _future(until: float) -> float:
    if not wall() < until < wall() + LONGEST_SILENCE:
        raise ValueError("expected a Unix time in seconds, in the future by at most a year; `for` needs no clock")
    return until


class Body(BaseModel):
    """Refuses a misspelled field instead of ignoring it."""

    model_config = ConfigDict(extra="forbid")


class AlertsQuery(Query):
    metric: str | None = Field(None, max_length=200, description="Only alerts of this metric.", examples=[EXAMPLE])
    market: str | None = Field(None, max_length=200, description="Only alerts of this market's metrics.")
    rule: str | None = Field(None, max_length=64, description="Only alerts of this rule.")
    state: str | None = Field(None, pattern="^(firing|resolved)$", description="Only those `firing` or `resolved`.")
    severity: str | None = Field(
        None, pattern=f"^({'|'.join(SEVERITIES)})$", description=f"Only of this severity: {', '.join(SEVERITIES)}."
    )
    since: float | None = Field(None, description="Only those found at this time (Unix seconds) or later.")
    until: float | None = Field(None, description="Only those found before this time (Unix seconds).")
    limit: int = Field(100, ge=1, le=1000, description="At most this many alerts.")
    cursor: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,14}-[0-9]{1,15}$",
        description="Only alerts after this place: `next` of the previous page.",
    )


class AlertPath(BaseModel):
    id: str = Field(description="Alert id: `rule:metric:slot`.", examples=[ALERT_EXAMPLE])


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


class NewAcknowledgement(Body):
    by: str = Field(min_length=1, max_length=100, description="Name of the person who takes the alert on.")
    comment: str = Field("", max_length=1_000, description="A comment.")


class DeliveriesQuery(Query):
    state: str = Field("dead", pattern="^(dead|pending)$", description="`dead`: given up; `pending`: still to be sent.")
    limit: int = Field(100, ge=1, le=1000, description="At most this many.")


class Redrive(Body):
    ids: list[str] | None = Field(
        None, max_length=1_000, description="Only these deliveries. Without it, the newest 1,000 dead ones."
    )
    channel: str | None = Field(None, max_length=64, description="Only those of this channel.")


class Acknowledgement(BaseModel):
    by: str = Field(description="Name of the person who took the alert on.")
    at: float = Field(description="When, Unix seconds.")
    comment: str = Field(description="Their comment.")


class AlertRow(BaseModel):
    """One firing of a rule, with the numbers that explain it."""

    id: str = Field(description="`rule:metric:slot`.", examples=[ALERT_EXAMPLE])
    rule: str = Field(description="Name of the rule.")
    kind: str = Field(description=f"Its kind: one of {', '.join(KINDS)}.")
    metric: str = Field(examples=[EXAMPLE], description="The metric, or `source:NAME` for a stale source.")
    slot: int = Field(description="Opening time of the rising edge's slot, Unix seconds.")
    value: float = Field(description="The value that was compared.")
    baseline: float | None = Field(description="What it was compared with. Null if there is none.")
    factor: float = Field(description="The rule's limit.")
    samples: int = Field(description="Number of present samples in the baseline.")
    window: int = Field(description="Seconds that the baseline covers.")
    details: Details | None = Field(description="What else the rule's kind tells. Null for most kinds.")
    at: float = Field(description="When it was found, Unix seconds.")
    severity: str = Field(description="info, warning or critical.")
    state: str = Field(description="`firing` or `resolved`.")
    resolved_at: float | None = Field(description="When it was found to be over, Unix seconds.")
    acknowledged: Acknowledgement | None = Field(description="Null if nobody has taken it on.")
    text: str = Field(description="The text of its notices.")


class ListedAlert(AlertRow):
    recorded_at: float = Field(
        description="When it was recorded, Unix seconds of the store's wall clock. The list is in this order."
    )


class Alerts(BaseModel):
    """A page of alerts in the order of `recorded_at`, the newest first."""

    alerts: list[ListedAlert] = Field(description="The alerts of this page. There may be fewer than `limit`.")
    next: str | None = Field(description="`cursor` of the next page. Null on the last page.")


class Attempted(BaseModel):
    at: float = Field(description="When, Unix seconds.")
    ok: bool = Field(description="False if the try failed.")
    status: int | None = Field(description="HTTP status of the receiver's refusal, if it gave one.")
    detail: str = Field(description="What the receiver said, or why nothing was sent.")


class DeliveryRow(BaseModel):
    """The state of one notice on one channel."""

    id: str = Field(description="`alert/channel/event`.")
    alert: str = Field(description="Id of the alert, or `digest:TIME` for a digest.")
    channel: str = Field(description="Name of the channel.")
    event: str = Field(description="What the notice reports: firing, resolved or digest.")
    state: str = Field(
        description="pending, delivered, dead, digested (a digest reports it) or silenced (not sent: a silence holds "
        "it back until the silence ends, or the alert was over before a notice was sent)."
    )
    tries: int = Field(description="Failed tries since the last redrive.")
    attempts: list[Attempted] = Field(description="The newest 20 tries, oldest first.")
    next_try: float | None = Field(description="When it is due next, Unix seconds. Null if not pending.")


class ExplainedAlert(AlertRow):
    """An alert, why it fired, and the notices that were sent."""

    definition: dict[str, Any] = Field(description="The rule as it was when it fired.")
    deliveries: list[DeliveryRow] = Field(description="One for each event and channel.")


class SilenceRow(BaseModel):
    id: str = Field(description="Its id.")
    match: list[str] = Field(description="Globs on metric ids.")
    until: float = Field(description="When it ends, Unix seconds of the wall clock.")
    reason: str = Field(description="Why.")


class SilenceList(BaseModel):
    silences: list[SilenceRow] = Field(description="The silences in force, by the time they end.")


class DeliveryList(BaseModel):
    deliveries: list[DeliveryRow] = Field(description="Dead ones newest first, pending ones by when they are due.")


class Redriven(BaseModel):
    redriven: list[str] = Field(description="The deliveries that were dead and are now pending.")


@bp.get("/alerts")
@bp.input(AlertsQuery, location="query", arg_name="query")
@bp.output(Alerts)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_alerts(query: AlertsQuery) -> Response:
    """What fired? The newest alert comes first

    The list and the cursor are in the order of `recorded_at`. The order of `at` may differ by seconds, because several
    workers record at once, each with its own clock. In a replay, `at` uses the replay's clock.
    """
    found: list[dict[str, Any]] = []
    for looked_at, (place, alert) in enumerate(Outbox(context.store().redis).walk(query.cursor or ""), start=1):
        if _asked_for(alert, query):
            found.append(_row(alert) | {"recorded_at": int(place.partition("-")[0]) / 1_000})
        if len(found) == query.limit or looked_at == LOOKED_AT:
            return jsonify(alerts=found, next=place)
    return jsonify(alerts=found, next=None)


@bp.get("/alerts/<id>")
@bp.input(AlertPath, location="path")
@bp.input(Query, location="query")
@bp.output(ExplainedAlert)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def explain_alert(id: str, **_: object) -> Response:
    """Why did this alert fire, and which notices were sent?"""
    found = _outbox().explained(id)
    if not found:
        _no_alert()
    alert, definition, deliveries = found
    return jsonify(_row(alert) | {"definition": definition, "deliveries": [_delivery(row) for row in deliveries]})


@bp.post("/alerts/<id>/acknowledge")
@bp.input(AlertPath, location="path")
@bp.input(NewAcknowledgement, arg_name="note")
@bp.output(AlertRow)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def acknowledge_alert(id: str, note: NewAcknowledgement, **_: object) -> Response:
    """Take an alert on"""
    if not _outbox().acknowledge(id, note.by, note.comment, wall()):
        _no_alert()
    return jsonify(_row(_outbox().get(id) or _no_alert()))


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


@bp.get("/deliveries")
@bp.input(DeliveriesQuery, location="query", arg_name="query")
@bp.output(DeliveryList)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_deliveries(query: DeliveriesQuery) -> Response:
    """Which notices are dead or pending?"""
    deliveries = _outbox().deliveries
    found = deliveries.dead(query.limit) if query.state == "dead" else deliveries.pending(query.limit)
    return jsonify(deliveries=[_delivery(row) for row in found])


@bp.post("/deliveries/redrive")
@bp.input(Redrive, arg_name="wanted")
@bp.output(Redriven)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def redrive_deliveries(wanted: Redrive) -> Response:
    """Send dead notices again

    They are due within seconds, and have all their tries again.
    """
    if not isinstance(request.get_json(), dict):
        refuse("json", "body", "expected an object, {} for all")
    return jsonify(redriven=_outbox().deliveries.redrive(wanted.ids, wanted.channel))


def _outbox() -> Outbox:
    return Outbox(current_app.extensions["store"].redis)


def _silences() -> Silences:
    return Silences(current_app.extensions["store"].redis)


def _asked_for(alert: Alert, query: AlertsQuery) -> bool:
    same = all(getattr(query, name) in (None, getattr(alert, name)) for name in ("metric", "rule", "state", "severity"))
    market = METRIC_ID.fullmatch(alert.metric)
    return (
        same
        and (query.market is None or (market is not None and market[1] == query.market))
        and (query.since is None or alert.at >= query.since)
        and (query.until is None or alert.at < query.until)
    )


def _row(alert: Alert) -> dict[str, Any]:
    return {"id": alert.id, **asdict(alert)}


def _delivery(row: Delivery) -> dict[str, Any]:
    return {"id": row.id, **asdict(row)}


def _no_alert() -> NoReturn:
    abort(404, detail=f"This alert does not exist or was deleted. {url_for('.list_alerts')} lists the alerts.")
