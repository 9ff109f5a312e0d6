"""What a request works with: the app's settings, store and table of all metrics, and the time."""

from collections.abc import Sequence

from flask import current_app

from api import cache
from api.table import Table, Tables
from tracker.models import Metric
from tracker.settings import Settings
from tracker.store import Store, View


def settings() -> Settings:
    return current_app.extensions["settings"]


def store() -> Store:
    return current_app.extensions["store"]


def tables() -> Tables:
    return current_app.extensions["tables"]


def keep_view(metrics: Sequence[Metric], view: View, now: float) -> None:
    """Lets the answer that shows ``view`` be kept."""
    evaluated = [standing.summary.at for standing in view.standings if standing]
    cache.keep(tuple(metrics), view.version, min(evaluated, default=0.0), now)


def keep_table(table: Table, now: float) -> None:
    """Lets the answer that shows ``table`` be kept."""
    cache.keep((), table.version, table.evaluated, now)


def now() -> float:
    """Unix seconds on the tracker's clock."""
    return settings().clock.now()
