"""The current app's settings, stores, outbox, table of all metrics and time; the refusal of an unknown metric."""

from typing import NoReturn

from apiflask import abort
from flask import current_app, url_for

from api.v1.table import Tables
from tracker.alerts.outbox import Outbox
from tracker.settings import Settings
from tracker.store.series import Store


def settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def store() -> Store:
    """The store to read from."""
    found: Store = current_app.extensions["reads"]
    return found


def master() -> Store:
    """The store to write to, and to read from what must not be a moment behind."""
    found: Store = current_app.extensions["store"]
    return found


def outbox() -> Outbox:
    return Outbox(master().redis)


def tables() -> Tables:
    found: Tables = current_app.extensions["tables"]
    return found


def now() -> float:
    """Unix seconds on the tracker's clock."""
    return settings().clock.now()


def refuse_unknown(why: str) -> NoReturn:
    """Ends the request with a 404 that says ``why``, and where all metrics are listed."""
    abort(404, detail=f"{why}. {url_for('v1.metrics.list_metrics')} lists the metrics.")
