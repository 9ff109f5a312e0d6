"""The health checks. They are the same for all versions of the API."""

from http import HTTPStatus

from apiflask import APIBlueprint, abort
from flask import Response, current_app, jsonify

from api.serving.problems import documented
from api.v1 import schemas
from tracker.models import FIELDS
from tracker.settings import Settings
from tracker.store.freshness import Freshness, freshness, late
from tracker.store.reading import replicas_behind
from tracker.store.series import Store

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
    found = _freshness()
    if reasons := late(found):
        abort(HTTPStatus.SERVICE_UNAVAILABLE, detail="; ".join(reasons))
    return jsonify(status="ok", sources={source: each.state for source, each in found.items()})


@bp.get("/healthz")
@bp.output(schemas.Health)
@bp.doc(responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
def health() -> Response:
    """Do the API and its store answer, and is the data fresh?"""
    store, settings = _store(), _settings()
    replicas = replicas_behind(store.redis)
    reads = replicas.reads if replicas else None
    found = _freshness()
    reasons = late(found)
    return jsonify(
        status="ok",
        ready=not reasons,
        reasons=reasons,
        store="ok" if reads is None or reads.master else "read-only",
        replica=None if reads is None else {"lag": reads.lag, "reason": reads.reason},
        metrics=sum(store.ranked(field) for field in FIELDS),
        sources={source: _times(store.status(source)) | {"state": found[source].state} for source in settings.sources},
    )


def _store() -> Store:
    store: Store = current_app.extensions["reads"]
    return store


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _freshness() -> dict[str, Freshness]:
    return freshness(_store(), _settings())


def _times(status: dict[str, str]) -> dict[str, float | str | None]:
    return {name: float(status[name]) if name in status else None for name in TIMES}
