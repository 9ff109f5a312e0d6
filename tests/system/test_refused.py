"""A real worker survives any message in its queues: what cannot be a task is refused once, and shown."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from celery import Celery, chain
from celery.events.state import State
from redis import Redis

from tests.support.kinds import KINDS, TASKS, good, raw
from tests.support.processes import LocalProcess
from tests.support.servers import StoreServer, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.store.connection import connect
from tracker.worker.admission import REDELIVERIES
from tracker.worker.refused import SHOWN, Message, Refused

QUEUES = list(TASKS)


@dataclass
class Worker:
    """A worker, and its ``state`` by its events, as Flower keeps it."""

    process: LocalProcess
    redis: Redis
    app: Celery
    state: State = field(default_factory=State)

    def push(self, queue: str, *items: bytes) -> None:
        self.redis.lpush(queue, *items)

    def succeeds(self, id: str) -> bool:
        task = self.state.tasks.get(id)
        return bool(task and task.state == "SUCCESS")

    def children(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.process.pid).children()}

    def good_tasks_are_done(self) -> None:
        """Puts a good task into each queue, behind what is there, and waits until all are done."""
        tasks = [good(queue) for queue in QUEUES]
        for task in tasks:
            self.push(task.queue, raw(task))
        for task in tasks:
            done = wait_for(
                lambda task=task: self.process.status == "exited" or self.succeeds(task.wrapped["headers"]["id"]),
                f"a good task in {task.queue} is done:\n{self.process.logs()[-3000:]}",
                60,
            )
            assert done and self.process.status == "running", self.process.logs()[-3000:]

    def nothing_is_left(self) -> None:
        keys = [*QUEUES, "unacked", "unacked_index"]
        wait_for(lambda: not self.redis.exists(*keys), f"nothing is left in {', '.join(keys)}")


def running(folder: Path, pool: str, *command: str) -> Iterator[Worker]:
    with StoreServer(folder, "--appendfsync", "no") as server:
        environment = CLEAN | {"REDIS_URL": server.url, "WORKER_POOL": pool}
        process = LocalProcess("worker", [sys.executable, *command], folder, "ready.", environment)
        try:
            process.ready()
            with connect(server.url) as redis:
                worker = Worker(process, redis, Celery(broker=server.url))
                with listening(worker):
                    yield worker
        finally:
            process.teardown()


@contextmanager
def listening(worker: Worker) -> Iterator[None]:
    """Collects the events of the worker meanwhile."""
    heard = threading.Event()

    def hear(event: dict) -> None:
        worker.state.event(event)
        heard.set()  # the first is a heartbeat

    with worker.app.connection() as connection:
        receiver = worker.app.events.Receiver(connection, handlers={"*": hear})
        thread = threading.Thread(target=receiver.capture, daemon=True)
        thread.start()
        try:
            assert heard.wait(30)
            yield
        finally:
            receiver.should_stop = True
            thread.join(10)


@dataclass
class Outcome:
    """The state after all kinds were sent to all queues. ``refused``: queue -> messages in the order of KINDS."""

    worker: Worker
    pid: int
    before: set[int]
    refused: dict[str, list[Message]]


@pytest.fixture(scope="module", params=["prefork", "threads"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp(request.param)
    yield from running(folder, request.param, "-m", "tracker", "worker", "--name", "worker", "--concurrency", "2")


@pytest.fixture(scope="module")
def outcome(worker: Worker) -> Outcome:
    worker.good_tasks_are_done()
    pid, before = worker.process.process.pid, worker.children()
    for make, _ in KINDS.values():
        for queue in QUEUES:
            worker.push(queue, make(good(queue)))
    worker.good_tasks_are_done()
    worker.nothing_is_left()
    found = Refused(worker.redis).all()[::-1]
    return Outcome(worker, pid, before, {queue: [each for each in found if each.queue == queue] for queue in QUEUES})


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_a_task_is_refused_and_shown_once(outcome: Outcome, kind: str, queue: str) -> None:
    found = outcome.refused[queue]
    assert len(found) == len(KINDS), [each.reason for each in found]
    kept = found[list(KINDS).index(kind)]
    assert re.search(KINDS[kind][1], kept.reason)
    assert len(kept.text) <= SHOWN


def test_the_worker_and_its_children_are_the_same(outcome: Outcome) -> None:
    assert outcome.worker.process.status == "running"
    assert outcome.worker.process.process.pid == outcome.pid
    assert outcome.worker.children() == outcome.before


def test_the_log_has_a_line_for_each_and_nothing_else_of_them(outcome: Outcome) -> None:
    log = outcome.worker.process.logs()
    lines = [line for line in log.splitlines() if "refused a message in" in line]
    assert len(lines) == len(KINDS) * len(QUEUES)
    assert max(map(len, lines)) < 400
    assert "Traceback" not in log
    others = [line for line in log.splitlines() if " done task=" not in line]  # the good tasks have it too
    assert "kraken:btcusd" not in "".join(others)  # an argument of a refused message


def test_the_worker_answers_and_tells_of_good_tasks_alone(outcome: Outcome) -> None:
    inspect = outcome.worker.app.control.inspect(timeout=10, limit=1)
    assert [pong["ok"] for pong in inspect.ping().values()] == ["pong"]
    assert list(inspect.active().values()) == list(inspect.reserved().values()) == [[]]
    assert list(inspect.scheduled().values()) == [[]]
    assert {task.name for task in outcome.worker.state.tasks.values()} == {name for name, _ in TASKS.values()}
    assert {task.state for task in outcome.worker.state.tasks.values()} == {"SUCCESS"}


def test_two_messages_of_one_delivery_tag_are_both_done(outcome: Outcome) -> None:
    first, second = good("evaluate"), good("evaluate")
    second.wrapped["properties"]["delivery_tag"] = first.wrapped["properties"]["delivery_tag"]
    outcome.worker.push("evaluate", raw(first), raw(second))
    for task in (first, second):
        wait_for(lambda task=task: outcome.worker.succeeds(task.wrapped["headers"]["id"]), "it is done")
    outcome.worker.nothing_is_left()


def test_what_celery_publishes_is_taken(outcome: Outcome) -> None:
    """With everything that our tasks use: a chain, an expiry, a countdown, named arguments; and another's header."""
    app = outcome.worker.app
    follower = app.signature("tracker.tasks.evaluate", ([],), immutable=True, queue="evaluate")
    notice = {"alert": "jump:kraken:btcusd:price:60", "channel": "log", "event": "firing"}
    last = app.signature("tracker.tasks.notify", (), notice, immutable=True, queue="notify")
    result = chain(follower, last).apply_async(expires=60, countdown=0.1, headers={"traceparent": "00-1-2-01"})
    for id in (result.parent.id, result.id):
        wait_for(lambda id=id: outcome.worker.succeeds(id), f"it is done: {outcome.worker.process.logs()[-2000:]}")


def test_the_command_lists_and_clears(outcome: Outcome) -> None:
    def run(action: str) -> list[str]:
        command = [sys.executable, "-m", "tracker", "refused", action]
        environment = CLEAN | {"REDIS_URL": outcome.worker.process.environment["REDIS_URL"]}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    count = len(KINDS) * len(QUEUES)
    *lines, last = run("list")
    assert last == f"{count} refused"
    assert len(lines) == 2 * count
    assert "hello\\n\\x1b[31m there" in "".join(lines)
    assert run("clear") == [f"{count} cleared"]
    assert run("list") == ["0 refused"]


@pytest.fixture(params=["prefork", "threads"])
def deadly(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker with a task that kills its process."""
    command = ("-m", "celery", "-A", "tests.support.deadly", "worker", "-Q", ",".join(QUEUES), "-c", "1", "-l", "info")
    yield from running(tmp_path, request.param, *command, "-P", request.param, "--without-gossip", "--without-mingle")


def test_a_task_that_kills_its_process_each_time_is_refused_at_last(deadly: Worker) -> None:
    refused, process = Refused(deadly.redis), deadly.process
    task = good("fetch")
    task.wrapped["headers"]["task"], task.body[0] = "tracker.tasks.die", []
    for _ in range(REDELIVERIES - 1):  # it has come back before
        refused.redelivered(task.wrapped["headers"]["id"])
    deadly.push("fetch", raw(task))

    def go_on() -> list[Message]:
        """With threads the whole worker dies: this restarts it, and ends the visibility timeout of the message."""
        if process.status == "exited":
            deadly.redis.zadd("unacked_index", {task.wrapped["properties"]["delivery_tag"]: 0}, xx=True)
            process.restart()
        return refused.all()

    [kept] = wait_for(go_on, "it is refused", 60)
    assert f"delivered again {REDELIVERIES + 1} times" in kept.reason
    assert deadly.redis.get("deaths") == b"2"
    deadly.good_tasks_are_done()
    deadly.nothing_is_left()
