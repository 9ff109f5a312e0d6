"""The health check. It is the same for all versions of the API."""

from http import HTTPStatus

from apiflask import APIBlueprint
from flask import Response, current_app, jsonify

from api.serving.problems import documented
from api.v1 import schemas
from tracker.models import FIELDS
from tracker.settings import Settings
from tracker.store.reading import replicas_behind
from tracker.store.series import Store

bp = APIBlueprint("service", __name__)


@bp.get("/healthz")
@bp.output(schemas.Health)
@bp.doc(responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
def health() -> Response:
    """Do the API and its store answer?"""
    store: Store = current_app.extensions["reads"]
    settings: Settings = current_app.extensions["settings"]
    replicas = replicas_behind(store.redis)
    reads = replicas.reads if replicas else None
    return jsonify(
        status="ok",
        store="ok" if reads is None or reads.master else "read-only",
        replica=None if reads is None else {"lag": reads.lag, "reason": reads.reason},
        metrics=sum(store.ranked(field) for field in FIELDS),
        sources={source: _times(store.status(source)) for source in settings.sources},
    )


def _times(status: dict[str, str]) -> dict[str, float | None]:
    return {name: float(status[name]) if name in status else None for name in schemas.SourceHealth.model_fields}
