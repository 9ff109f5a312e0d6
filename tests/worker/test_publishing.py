"""Publishing tasks through Celery: their messages, and the effects of an outage, a fork and threads."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery, Task
from kombu import Queue
from redis import Redis

from tests.support.published import seconds_until, waiting
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN
from tracker.errors import StoreError
from tracker.tasks import app as ours
from tracker.worker.admission import fault
from tracker.worker.publishing import publish, queue_length

ROOT = Path(__file__).parents[2]
CALLS = [("simulator", [f"kraken:pair{number}"]) for number in range(3)]


def made(url: str, **settings: object) -> Celery:
    """An app with our settings and another broker, and a task with the name of ours."""
    app = Celery("another", broker=url, set_as_current=False)
    names = (
        "task_queues",
        "task_routes",
        "task_publish_retry_policy",
        "task_ignore_result",
        "broker_transport_options",
    )
    app.conf.update({name: ours.conf[name] for name in names} | settings)

    @app.task(name="tracker.tasks.fetch", shared=False)
    def fetch(name: str, markets: list[str]) -> None:
        """Does nothing."""

    return app


@pytest.fixture
def app(store_server: StoreServer, redis: Redis) -> Iterator[Celery]:
    with made(store_server.url) as app:
        yield app


@pytest.fixture
def fetch(app: Celery) -> Task:
    return app.tasks["tracker.tasks.fetch"]


@pytest.mark.parametrize("options", [{}, {"expires": 90.5, "countdown": 7.5}])
def test_a_worker_admits_what_is_published(app: Celery, fetch: Task, options: dict[str, float]) -> None:
    publish(fetch, CALLS, **options)
    with app.connection() as connection:
        queue = Queue("fetch").bind(connection.default_channel)
        for _ in CALLS:
            message = queue.get(no_ack=True)
            assert fault(message) == ""
            assert message.properties["priority"] == 0


def test_messages_carry_their_arguments_and_times(redis: Redis, fetch: Task) -> None:
    publish(fetch, CALLS, expires=90.5, countdown=7.5)
    found = waiting(redis)
    assert [tuple(each["arguments"]) for each in found[::-1]] == CALLS
    assert len({each["id"] for each in found}) == len(CALLS)
    for each in found:
        assert 80 < seconds_until(each["expires"]) <= 90.5
        assert -2 < seconds_until(each["eta"]) <= 7.5


def test_many_messages_take_a_few_round_trips(redis: Redis, fetch: Task) -> None:
    publish(fetch, CALLS)  # connects, and declares the queues
    before = redis.info("commandstats")
    publish(fetch, CALLS * 100)
    after = redis.info("commandstats")
    changed = {name for name in after if after[name] != before.get(name)} - {"cmdstat_info"}
    assert changed == {"cmdstat_lpush"}
    assert redis.llen("fetch") == 303


def test_an_evaluation_follows_its_fetch(store_server: StoreServer, redis: Redis) -> None:
    code = """
from tracker import pipeline, tasks
pipeline.fetch = lambda *_: None
tasks.fetch.apply_async(("simulator", ["kraken:btcusd"]), task_id="its-parent", root_id="its-root")
tasks.app.Worker(pool="solo", queues=["fetch"], concurrency=1, without_gossip=True, without_mingle=True).start()
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=CLEAN | {"REDIS_URL": store_server.url})
    try:
        wait_for(lambda: redis.llen("evaluate"), "the evaluation is published")
    finally:
        process.kill()
        process.wait(60)
    [evaluation] = waiting(redis, "evaluate")
    assert evaluation["arguments"] == [["kraken:btcusd"]]
    assert (evaluation["parent_id"], evaluation["root_id"]) == ("its-parent", "its-root")


def test_a_broker_that_was_restarted_gets_all_messages(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, made(server.url) as app:
        fetch = app.tasks["tracker.tasks.fetch"]
        publish(fetch, CALLS)
        server.kill()
        with ThreadPoolExecutor() as pool:
            published = pool.submit(publish, fetch, CALLS)
            server.start()
            published.result(30)
        assert queue_length(app, "fetch") >= 2 * len(CALLS)


def test_a_broker_that_stays_away_is_an_error(redis: Redis) -> None:
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0.01, "interval_max": 0.01}
    with made(f"redis://127.0.0.1:{free_port()}/0", task_publish_retry_policy=policy) as app:
        with pytest.raises(StoreError, match="the broker"):
            publish(app.tasks["tracker.tasks.fetch"], CALLS)
        with pytest.raises(StoreError, match="the broker"):
            queue_length(app, "fetch")


def test_a_broker_that_refuses_messages_is_an_error(redis: Redis, fetch: Task) -> None:
    redis.set("fetch", "no list")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        publish(fetch, CALLS)


def test_threads_publish_at_the_same_time(app: Celery, fetch: Task) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: publish(fetch, CALLS), range(40)))
    assert queue_length(app, "fetch") == 40 * len(CALLS)


def test_a_forked_child_has_a_connection_of_its_own(app: Celery, redis: Redis, fetch: Task) -> None:
    publish(fetch, CALLS)
    child = multiprocessing.get_context("fork").Process(target=publish, args=(fetch, CALLS))
    child.start()
    publish(fetch, CALLS)
    child.join(60)
    assert child.exitcode == 0
    assert redis.llen("fetch") == 3 * len(CALLS)


def test_the_length_of_a_queue_is_that_of_its_messages(app: Celery, fetch: Task) -> None:
    assert queue_length(app, "fetch") == 0
    publish(fetch, CALLS)
    assert queue_length(app, "fetch") == len(CALLS)
