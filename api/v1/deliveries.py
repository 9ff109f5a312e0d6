"""Deliveries: which notices are pending or dead, and sending dead ones again."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify, request
from pydantic import BaseModel, Field

from api.serving.problems import documented, refuse
from api.v1 import context
from api.v1.schemas import Body, Query
from tracker.models import Delivery

bp = APIBlueprint("deliveries", __name__, tag="Alerts")


class DeliveriesQuery(Query):
    state: str = Field("dead", pattern="^(dead|pending)$", description="`dead`: given up; `pending`: still to be sent.")
    limit: int = Field(100, ge=1, le=1000, description="At most this many.")


class Redrive(Body):
    ids: list[str] | None = Field(
        None, max_length=1_000, description="Only these deliveries. Without it, the newest 1,000 dead ones."
    )
    channel: str | None = Field(None, max_length=64, description="Only those of this channel.")


class Attempted(BaseModel):
    at: float = Field(description="When, Unix seconds.")
    ok: bool = Field(description="False if the try failed.")
    status: int | None = Field(description="HTTP status of the receiver's refusal, if it gave one.")
    detail: str = Field(description="What the receiver said, or why nothing was sent.")


class DeliveryRow(BaseModel):
    """The state of one notice on one channel."""

    id: str = Field(description="`alert/channel/event`.")
    alert: str = Field(
        description="Id of the alert, or that of a digest: `digest:TIME` of notices above a channel's ceiling, "
        "`late:TIME` of alerts that were found too late."
    )
    channel: str = Field(description="Name of the channel.")
    event: str = Field(description="What the notice reports: firing, reminder, resolved or digest.")
    state: str = Field(
        description="pending, delivered, dead, digested (a digest reports it) or silenced (not sent: a silence holds "
        "it back until the silence ends, or the alert was over before a notice was sent). A reminder stays pending."
    )
    tries: int = Field(description="Failed tries since the last redrive.")
    attempts: list[Attempted] = Field(description="The newest 20 tries, oldest first.")
    next_try: float | None = Field(description="When it is due next, Unix seconds. Null if not pending.")
    wait: int = Field(
        description="It is sent only if nobody acknowledges the alert for so many seconds. A reminder is sent again "
        "after as many. 0: sent at once."
    )
    number: int = Field(description="How many times a reminder was sent. Else 0.")


class DeliveryList(BaseModel):
    deliveries: list[DeliveryRow] = Field(description="Dead ones newest first, pending ones by when they are due.")


class Redriven(BaseModel):
    redriven: list[str] = Field(description="The deliveries that were dead and are now pending.")


@bp.get("/deliveries")
@bp.input(DeliveriesQuery, location="query", arg_name="query")
@bp.output(DeliveryList)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_deliveries(query: DeliveriesQuery) -> Response:
    """Which notices are dead or pending?"""
    deliveries = context.outbox().deliveries
    found = deliveries.dead(query.limit) if query.state == "dead" else deliveries.pending(query.limit)
    return jsonify(deliveries=[shown(row) for row in found])


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
    return jsonify(redriven=context.outbox().deliveries.redrive(wanted.ids, wanted.channel))


def shown(row: Delivery) -> dict[str, Any]:
    """``row`` as a DeliveryRow."""
    return {"id": row.id, **asdict(row)}
