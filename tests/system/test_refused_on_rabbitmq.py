"""A real worker survives any message that RabbitMQ brings: what cannot be a task is refused once, and shown."""

import json
import re
import sys
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
import psutil
import pytest
from redis import Redis

from tests.support.kinds import KINDS, TASKS, good, raw
from tests.support.processes import LocalProcess
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import StoreServer, wait_for
from tests.support.stack import CLEAN
from tracker.store.connection import connect
from tracker.worker.admission import REDELIVERIES
from tracker.worker.refused import Refused

pytestmark = pytest.mark.program("rabbitmq-server")
#: The kinds that do not depend on how kombu wraps a message for Redis.
ANYWHERE = [*list(KINDS)[list(KINDS).index("no task") :], "pickle", "yaml", "content type unknown"]
JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
#: Kinds of AMQP's own: name -> (body, properties, pattern of the reason).
OWN: dict[str, tuple[bytes | str, dict[str, Any], str]] = {
    "no properties": ("hello", {}, "content_type"),
    "compressed": (zlib.compress(b"[]"), {"application_headers": {"compression": "application/x-gzip"}}, "ValueError"),
    "a header of bytes": ("[]", JSON | {"application_headers": {"id": b"\xff\xfe"}}, "headers.task"),
    "huge": ("x" * 2_000_000, JSON, "2000000 bytes, more than"),
}


@dataclass
class Worker:
    """A worker, with a channel through which any client of RabbitMQ puts messages into its queues."""

    process: LocalProcess
    redis: Redis
    channel: amqp.Channel

    def send(self, queue: str, body: bytes | str, **properties: Any) -> None:
        self.channel.basic_publish(amqp.Message(body, **properties), exchange="tracker", routing_key=queue)

    def send_item(self, queue: str, item: bytes) -> None:
        """Sends the message that kombu would have wrapped so for Redis."""
        wrapped = json.loads(item)
        kinds = {"content_type": wrapped["content-type"], "content_encoding": wrapped["content-encoding"]}
        headers = wrapped["headers"]
        self.send(queue, b64decode(wrapped["body"]), application_headers=headers, **kinds)

    def good_tasks_are_done(self) -> None:
        """Sends a good task to each queue and waits until all are done."""
        for queue in TASKS:
            message = good(queue)
            self.send_item(queue, raw(message))
            done = re.compile(f" done .*task_id={message.wrapped['headers']['id']}")
            wait_for(lambda done=done: done.search(self.process.logs()), f"a good task of {queue} is done", 60)

    def children(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.process.pid).children()}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@contextmanager
def running(broker: RabbitMQ, folder: Path, pool: str, *command: str) -> Iterator[Worker]:
    with ExitStack() as stack:
        store = stack.enter_context(StoreServer(folder / "store", "--appendfsync", "no"))
        environment = CLEAN | {"REDIS_URL": store.url, "BROKER_URL": broker.url, "WORKER_POOL": pool}
        process = LocalProcess("worker", [sys.executable, *command], folder, "ready.", environment)
        stack.callback(process.teardown)
        process.ready()
        redis = stack.enter_context(connect(store.url))
        connection = stack.enter_context(amqp.Connection(f"127.0.0.1:{broker.port}", "tracker", broker.password))
        yield Worker(process, redis, connection.channel())


def test_what_cannot_be_a_task_is_refused_once(broker: RabbitMQ, tmp_path: Path) -> None:
    with running(broker, tmp_path, "prefork", "-m", "tracker", "worker", "--concurrency", "2") as worker:
        worker.good_tasks_are_done()
        children = worker.children()
        for queue in TASKS:
            for kind in ANYWHERE:
                worker.send_item(queue, KINDS[kind][0](good(queue)))
            for body, properties, _ in OWN.values():
                worker.send(queue, body, **properties)
        worker.good_tasks_are_done()
        patterns = [KINDS[kind][1] for kind in ANYWHERE] + [pattern for _, _, pattern in OWN.values()]
        kept = Refused(worker.redis)
        wait_for(lambda: len(kept.all()) >= len(patterns) * len(TASKS), "all are refused")
        found = kept.all()[::-1]
        assert Counter(each.queue for each in found) == dict.fromkeys(TASKS, len(patterns))
        for queue in TASKS:
            reasons = [each.reason for each in found if each.queue == queue]
            wrong = [each for each in zip(patterns, reasons, strict=True) if not re.search(*each)]
            assert wrong == []
        assert worker.children() == children
        assert "Traceback" not in worker.process.logs()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_that_kills_its_process_each_time_is_refused_at_last(
    broker: RabbitMQ, pool: str, tmp_path: Path
) -> None:
    command = ("-m", "celery", "-A", "tests.support.deadly", "worker", "-Q", ",".join(TASKS), "-c", "1", "-l", "info",
               "-P", pool, "--without-gossip", "--without-mingle")  # fmt: skip
    with running(broker, tmp_path, pool, *command) as worker:
        refused, process = Refused(worker.redis), worker.process
        task = good("fetch")
        task.wrapped["headers"]["task"], task.body[0] = "tracker.tasks.die", []
        for _ in range(REDELIVERIES - 1):  # it has come back before
            refused.redelivered(task.wrapped["headers"]["id"])
        worker.send_item("fetch", raw(task))

        def go_on() -> object:
            """With threads the whole worker dies: RabbitMQ delivers the task again at once."""
            if process.status == "exited":
                process.restart()
            return refused.all()

        [kept] = wait_for(go_on, "it is refused", 60)
        assert f"delivered again {REDELIVERIES + 1} times" in kept.reason
        assert worker.redis.get("deaths") == b"2"
        worker.good_tasks_are_done()
