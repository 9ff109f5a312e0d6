"""The tracker's Celery app with a task that does nothing: ``celery -A bench.noop worker``."""

from tracker.tasks import app


@app.task(name="tracker.tasks.fetch_nothing")
def fetch_nothing() -> None:
    """Costs what any task costs."""


@app.task(name="tracker.tasks.evaluate_nothing")
def evaluate_nothing() -> None:
    """Costs what any task costs."""
