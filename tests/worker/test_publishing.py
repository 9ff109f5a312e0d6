"""Publishing tasks through Celery: their messages, and the effects of an outage, a fork and threads.

What holds for every broker is tested on Redis and on RabbitMQ.
"""

import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery, Task
from kombu.exceptions import OperationalError
from kombu.transport import native_delayed_delivery as delayed
from redis import Redis

from tests.support.published import seconds_until, waiting
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN
from tests.support.tls import Certificates
from tracker.errors import StoreError
from tracker.settings import load
from tracker.tasks import app as ours
from tracker.worker import deadline
from tracker.worker.admission import drop_headers_of_rabbitmq, fault
from tracker.worker.broker import broker
from tracker.worker.publishing import publish, queue_length

ROOT = Path(__file__).parents[2]
CALLS = [("simulator", [f"kraken:pair{number}"]) for number in range(3)]


def made(url: str, **settings: object) -> Celery:
    """An app with our settings and another broker, and a task with the name of ours."""
    found = broker(load({"BROKER_URL": url}))
    app = Celery("another", broker=found.url, task_cls=ours.task_cls, set_as_current=False)
    app.conf.task_queues = [found.queue(name) for name in ("fetch", "evaluate", "notify")]
    app.conf.broker_transport_options = found.options
    app.conf.broker_use_ssl = found.tls
    if "read_timeout" in found.options:  # a test does not wait for so long
        app.conf.broker_transport_options |= {"read_timeout": 1}
    names = ("task_routes", "task_publish_retry_policy", "task_ignore_result")
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


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def on_rabbitmq(rabbitmq: RabbitMQ) -> Iterator[Celery]:
    with made(rabbitmq.url) as app:
        with app.connection() as connection:
            for queue in app.conf.task_queues:
                queue(connection.default_channel).declare()
                queue(connection.default_channel).purge()
        yield app


RABBITMQ = (pytest.mark.slow, pytest.mark.program("rabbitmq-server"))


@pytest.fixture(params=["app", pytest.param("on_rabbitmq", marks=RABBITMQ)])
def anywhere(request: pytest.FixtureRequest) -> Celery:
    """An app on Redis, and one on RabbitMQ."""
    return request.getfixturevalue(request.param)


def task(app: Celery) -> Task:
    return app.tasks["tracker.tasks.fetch"]


@pytest.mark.parametrize("options", [{}, {"expires": 90.5}, {"expires": 90.5, "countdown": 0.5}])
def test_a_worker_admits_what_is_published(anywhere: Celery, options: dict[str, float]) -> None:
    with anywhere.connection() as connection:
        if connection.transport.driver_type == "amqp":  # as a worker does when it starts
            delayed.declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
            delayed.bind_queue_to_native_delayed_delivery_exchange(connection, anywhere.amqp.queues["fetch"])
        publish(task(anywhere), CALLS, **options)
        queue = anywhere.amqp.queues["fetch"](connection.default_channel)
        for _ in CALLS:
            message = wait_for(lambda: queue.get(no_ack=True), "it is there")
            drop_headers_of_rabbitmq(message)
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


def test_threads_publish_at_the_same_time(anywhere: Celery) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: publish(task(anywhere), CALLS), range(40)))
    assert queue_length(anywhere, "fetch") == 40 * len(CALLS)


def test_a_forked_child_has_a_connection_of_its_own(anywhere: Celery) -> None:
    fetch = task(anywhere)
    publish(fetch, CALLS)
    child = multiprocessing.get_context("fork").Process(target=publish, args=(fetch, CALLS))
    child.start()
    publish(fetch, CALLS)
    child.join(60)
    assert child.exitcode == 0
    # A child of py-amqp shuts the socket that it has from its parent. Then the parent connects and publishes again.
    assert 3 * len(CALLS) <= queue_length(anywhere, "fetch") <= 4 * len(CALLS)


def test_the_length_of_a_queue_is_that_of_its_messages(anywhere: Celery) -> None:
    assert queue_length(anywhere, "fetch") == 0
    publish(task(anywhere), CALLS)
    assert queue_length(anywhere, "fetch") == len(CALLS)


@pytest.mark.slow
@pytest.mark.program("rabbitmq-server")
def test_a_queue_that_rabbitmq_does_not_have_has_no_messages(rabbitmq: RabbitMQ) -> None:
    with made(rabbitmq.url) as app:
        assert queue_length(app, "no such queue") == 0


@pytest.mark.slow
@pytest.mark.program("rabbitmq-server")
def test_what_rabbitmq_has_taken_survives_its_crash(rabbitmq: RabbitMQ, on_rabbitmq: Celery) -> None:
    publish(task(on_rabbitmq), CALLS * 100)
    rabbitmq.kill()
    rabbitmq.start()
    wait_for(lambda: queue_length(on_rabbitmq, "fetch") == 300, "all messages are there")


@pytest.mark.slow
@pytest.mark.program("rabbitmq-server")
def test_a_rabbitmq_without_memory_is_an_error(rabbitmq: RabbitMQ) -> None:
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0.01, "interval_max": 0.01}
    rabbitmq.control("set_vm_memory_high_watermark", "0.00001")
    try:
        with (
            made(rabbitmq.url, task_publish_retry_policy=policy) as app,
            pytest.raises(StoreError, match="the broker does not take messages: RabbitMQ is short of memory"),
        ):
            publish(task(app), CALLS)
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.4")


@pytest.mark.slow
@pytest.mark.program("openssl")
@pytest.mark.program("rabbitmq-server")
def test_rabbitmq_is_asked_for_its_certificate_and_asks_for_ours(tmp_path: Path) -> None:
    ours, others = Certificates(tmp_path / "ours"), Certificates(tmp_path / "others")
    port = free_port()
    tls = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.verify = verify_peer\n"
        f"ssl_options.fail_if_no_peer_cert = true\nssl_options.cacertfile = {ours.authority}\n"
        f"ssl_options.certfile = {ours.certificate}\nssl_options.keyfile = {ours.key}"
    )
    with RabbitMQ(tmp_path / "rabbitmq", configuration=tls) as server:
        url = f"amqps://tracker:{server.password}@127.0.0.1:{port}/?"
        with made(url + ours.options) as app:
            publish(task(app), CALLS)
            assert queue_length(app, "fetch") == len(CALLS)
        for options in ("", f"ssl_ca_certs={ours.authority}", others.options):
            with (
                made(url + options) as app,
                app.connection_for_write() as connection,  # a pool would give one that is open
                pytest.raises(OperationalError, match=r"certificate|alert|closed|reset|EOF"),
            ):
                connection.ensure_connection(max_retries=0)


@pytest.fixture
def frozen(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    server = request.getfixturevalue(request.param)
    server.process.send_signal(signal.SIGSTOP)
    yield server
    server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("frozen", ["store_server", pytest.param("rabbitmq", marks=RABBITMQ)], indirect=True)
def test_a_broker_that_hangs_is_noticed(frozen: RabbitMQ | StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with made(frozen.url) as app:
        monkeypatch.setattr("celery.current_app", app)
        assert deadline.broker_hangs()


def test_a_broker_that_answers_or_is_away_does_not_hang(anywhere: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.current_app", anywhere)
    assert not deadline.broker_hangs()
    with made(f"redis://127.0.0.1:{free_port()}/0") as away:
        monkeypatch.setattr("celery.current_app", away)
        assert not deadline.broker_hangs()
