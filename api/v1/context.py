"""What a request works with: the app's settings, store and table of all metrics, and the time."""

from flask import current_app

from api.v1.table import Tables
from tracker.settings import Settings
from tracker.store.series import Store


def settings() -> Settings:
    return current_app.extensions["settings"]


def store() -> Store:
    return current_app.extensions["store"]


def tables() -> Tables:
    return current_app.extensions["tables"]


def now() -> float:
    """Unix seconds on the tracker's clock."""
    return settings().clock.now()
