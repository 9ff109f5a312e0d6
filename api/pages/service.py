"""The health checks. They are the same for all versions of the API."""

from http import HTTPStatus

from apiflask import APIBlueprint, abort
from flask import Response, jsonify

from api.serving.problems import documented
from api.v1 import context, schemas
from tracker.models import FIELDS
from tracker.store.freshness import freshness, late
from tracker.store.reading import replicas_behind

bp = APIBlueprint("service", __name__)
#: What the store tells of a source, by its name in the answer.
TIMES = ("last_success", "last_error_at")


@bp.get("/livez")
@bp.output(schemas.Live)
def alive() -> Response:
    """Does this process answer? It asks nobody else."""
    return jsonify(status="ok")


@bp.get("/readyz")
@bp.output(schemas.Ready)
@bp.doc(responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
def ready() -> Response:
    """Does the store answer, and is the data of every source at most two intervals old?

    A source that has not given any data yet is `waiting`, which is no failure.
    """
    found = freshness(_statuses(), context.settings())
    if reasons := late(found):
        abort(HTTPStatus.SERVICE_UNAVAILABLE, detail="; ".join(reasons))
    return jsonify(status="ok", sources={source: each.state for source, each in found.items()})


@bp.get("/healthz")
@bp.output(schemas.Health)
@bp.doc(responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
def health() -> Response:
    """Do the API and its store answer, and is the data fresh?"""
    store, statuses = context.store(), _statuses()
    replicas = replicas_behind(store.redis)
    reads = replicas.reads if replicas else None
    found = freshness(statuses, context.settings())
    reasons = late(found)
    return jsonify(
        status="ok",
        ready=not reasons,
        reasons=reasons,
        store="ok" if reads is None or reads.master else "read-only",
        replica=None if reads is None else {"lag": reads.lag, "reason": reads.reason},
        metrics=sum(store.ranked(field) for field in FIELDS),
        sources={source: _times(status) | {"state": found[source].state} for source, status in statuses.items()},
    )


def _statuses() -> dict[str, dict[str, str]]:
    """What the store tells of each source, by name."""
    return {source: context.store().status(source) for source in context.settings().sources}


def _times(status: dict[str, str]) -> dict[str, float | str | None]:
    return {name: float(status[name]) if name in status else None for name in TIMES}
