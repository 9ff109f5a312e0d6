"""The tracker's Celery app with tasks that do nothing, published as its own are: ``celery -A bench.noop worker``."""

from tracker.tasks import app


@app.task(name="tracker.tasks.fetch_nothing")
def fetch_nothing() -> None:
    """Costs what any task costs."""


@app.task(name="tracker.tasks.evaluate_nothing")
def evaluate_nothing() -> None:
    """Costs what any task costs."""


@app.task(name="tracker.tasks.fetch_schedule_nothing")
def schedule_nothing(count: int, chained: bool) -> None:
    """Publishes ``count`` pairs of no-ops from inside a worker, in one pipeline, as a tick does.

    ``chained``: the second one is published by the worker that has done the first, as an evaluation is.
    """
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        for _ in range(count):
            link = [evaluate_nothing.si()] if chained else None
            fetch_nothing.apply_async(link=link, producer=producer, retry=False)
            if not chained:
                evaluate_nothing.apply_async(producer=producer, retry=False)
