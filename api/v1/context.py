"""The current app's settings, store and table of all metrics, and the time."""

from flask import current_app

from api.v1.table import Tables
from tracker.settings import Settings
from tracker.store.series import Store


def settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def store() -> Store:
    found: Store = current_app.extensions["store"]
    return found


def tables() -> Tables:
    found: Tables = current_app.extensions["tables"]
    return found


def now() -> float:
    """Unix seconds on the tracker's clock."""
    return settings().clock.now()
