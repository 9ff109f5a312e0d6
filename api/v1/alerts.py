"""Alerts: what fired, why, and which notices were sent. Also acknowledgements."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any, NoReturn

from apiflask import APIBlueprint, abort
from flask import Response, jsonify, url_for
from pydantic import BaseModel, Field

from api.serving.problems import documented
from api.v1 import context
from api.v1.alert_details import Details
from api.v1.deliveries import DeliveryRow, shown
from api.v1.schemas import EXAMPLE, Body, Query
from tracker.alerts.outbox import LONGEST_COMMENT, LONGEST_NAME, Outbox
from tracker.alerts.rules import KINDS, SEVERITIES
from tracker.clock import wall
from tracker.models import METRIC_ID, Alert

bp = APIBlueprint("alerts", __name__, tag="Alerts")

#: The most alerts that one request reads. A rare alert may be on a later page.
LOOKED_AT = 2_000
ALERT_EXAMPLE = "above-3x-1h-mean:kraken:btcusd:volume:1700000040"


class AlertsQuery(Query):
    metric: str | None = Field(None, max_length=200, description="Only alerts of this metric.", examples=[EXAMPLE])
    market: str | None = Field(None, max_length=200, description="Only alerts of this market's metrics.")
    rule: str | None = Field(None, max_length=64, description="Only alerts of this rule.")
    state: str | None = Field(None, pattern="^(firing|resolved)$", description="Only those `firing` or `resolved`.")
    severity: str | None = Field(
        None, pattern=f"^({'|'.join(SEVERITIES)})$", description=f"Only of this severity: {', '.join(SEVERITIES)}."
    )
    late: bool | None = Field(
        None, description="`true`: only those that were found too late for a notice; `false`: only the others."
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


class NewAcknowledgement(Body):
    by: str = Field(min_length=1, max_length=LONGEST_NAME, description="Name of the person who takes the alert on.")
    comment: str = Field("", max_length=LONGEST_COMMENT, description="A comment.")


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
    late: bool = Field(
        description="True if its slot came too late for a notice of its own. A digest tells it to the channels that "
        "want such."
    )
    text: str = Field(description="The text of its notices.")


class ListedAlert(AlertRow):
    recorded_at: float = Field(
        description="When it was recorded, Unix seconds of the store's wall clock. The list is in this order."
    )


class Alerts(BaseModel):
    """A page of alerts in the order of `recorded_at`, the newest first."""

    alerts: list[ListedAlert] = Field(description="The alerts of this page. There may be fewer than `limit`.")
    next: str | None = Field(description="`cursor` of the next page. Null on the last page.")


class ExplainedAlert(AlertRow):
    """An alert, why it fired, and the notices that were sent."""

    definition: dict[str, Any] = Field(description="The rule as it was when it fired.")
    deliveries: list[DeliveryRow] = Field(description="One for each event and channel.")


@bp.get("/alerts")
@bp.input(AlertsQuery, location="query", arg_name="query")
@bp.output(Alerts)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_alerts(query: AlertsQuery) -> Response:
    """What fired? The newest alert comes first

    Alerts of the past that were found too late, after an absence, are marked `late`.
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
    found = context.outbox().explained(id)
    if not found:
        _no_alert()
    alert, definition, rows = found
    return jsonify(_row(alert) | {"definition": definition, "deliveries": [shown(row) for row in rows]})


@bp.post("/alerts/<id>/acknowledge")
@bp.input(AlertPath, location="path")
@bp.input(NewAcknowledgement, arg_name="note")
@bp.output(AlertRow)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def acknowledge_alert(id: str, note: NewAcknowledgement, **_: object) -> Response:
    """Take an alert on

    Its reminders stop, and no second channel is told of it. A later alert of the same metric is another one.
    """
    if not context.outbox().acknowledge(id, note.by, note.comment, wall()):
        _no_alert()
    return jsonify(_row(context.outbox().get(id) or _no_alert()))


@bp.delete("/alerts/<id>/acknowledge")
@bp.input(AlertPath, location="path")
@bp.output(AlertRow)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE))
def take_acknowledgement_back(id: str, **_: object) -> Response:
    """Take an acknowledgement back

    If the alert still fires, its reminders go on. Without an acknowledgement nothing changes.
    """
    if not context.outbox().take_back(id):
        _no_alert()
    return jsonify(_row(context.outbox().get(id) or _no_alert()))


def _asked_for(alert: Alert, query: AlertsQuery) -> bool:
    names = ("metric", "rule", "state", "severity", "late")
    same = all(getattr(query, name) in (None, getattr(alert, name)) for name in names)
    market = METRIC_ID.fullmatch(alert.metric)
    return (
        same
        and (query.market is None or (market is not None and market[1] == query.market))
        and (query.since is None or alert.at >= query.since)
        and (query.until is None or alert.at < query.until)
    )


def _row(alert: Alert) -> dict[str, Any]:
    return {"id": alert.id, **asdict(alert)}


def _no_alert() -> NoReturn:
    abort(404, detail=f"This alert does not exist or was deleted. {url_for('.list_alerts')} lists the alerts.")
