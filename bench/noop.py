"""The tracker's Celery app with tasks that do nothing: ``celery -A bench.noop worker``."""

from celery import Task

from tracker.tasks import app

#: Arguments of the same size as a tick's, and the same expiry.
MARKETS = ["exchange:pairpair"]
LIFE = 3_600


@app.task(name="tracker.tasks.fetch_nothing", bind=True)
def fetch_nothing(self: Task, name: str, markets: list[str]) -> None:
    """Costs what any task costs."""


@app.task(name="tracker.tasks.evaluate_nothing")
def evaluate_nothing(markets: list[str]) -> None:
    """Costs what any task costs."""


@app.task(name="tracker.tasks.fetch_schedule_nothing")
def schedule_nothing(count: int) -> None:
    """Publishes ``count`` no-ops in one batch. The worker that runs one publishes another after it."""
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        for _ in range(count):
            link = evaluate_nothing.si(MARKETS).set(expires=LIFE)
            fetch_nothing.apply_async(("simulator", MARKETS), link=link, expires=LIFE, producer=producer, retry=False)
