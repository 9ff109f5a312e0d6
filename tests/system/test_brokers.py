"""Beat, workers and Flower with a broker of their own: Redis, Redis with TLS, sentinels, RabbitMQ.

The broker is killed while tasks run. Every process goes on, and consumes again by itself: there is no supervisor here.
"""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from celery import Celery

from tests.support.exchange import Exchange
from tests.support.http_server import HttpServer
from tests.support.processes import LocalProcess
from tests.support.rabbitmq import RabbitMQ
from tests.support.redis_servers import Replicated
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.spiking import Spiking
from tests.support.stack import CLEAN, alive
from tests.support.tls import Certificates, Front
from tests.support.truth import assert_complete
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.models import Alert
from tracker.series.ring import Ring
from tracker.simulator.server import create_app
from tracker.store.connection import connect
from tracker.store.series import Store
from tracker.worker.broker import replicated

MARKETS = 4
MARKET = "{0.exchange}:{0.pair}".format(Spiking(seed=5, markets=MARKETS, exchanges=2).markets[0])
RULES = """
[channels.hook]
kind = "webhook"
url = "{url}"
allow_private = true

[rules.jump]
kind = "ratio"
match = "*:volume"
channels = ["hook"]
"""


@dataclass
class Side:
    """A broker beside the store. ``lose`` kills it, ``find`` starts it again, ``away`` seconds later."""

    url: str
    lose: Callable[[], object]
    find: Callable[[], object]
    password: str
    away: float = 3


@contextmanager
def redis(folder: Path) -> Iterator[Side]:
    with StoreServer(folder) as server:
        yield Side(server.url, server.kill, server.start, password_of(server))


@contextmanager
def rediss(folder: Path) -> Iterator[Side]:
    certificates = Certificates(folder / "tls")
    with StoreServer(folder) as server, Front(server.port, certificates) as front:
        url = f"rediss://:{password_of(server)}@127.0.0.1:{front.port}/0?{certificates.options}"
        yield Side(url, server.kill, server.start, password_of(server))


@contextmanager
def sentinel(folder: Path) -> Iterator[Side]:
    with Replicated(folder) as servers:
        yield Side(servers.url, lambda: servers.master.kill(), lambda: None, "no password", away=0)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Side]:
    password = "pAssw0rd-of-rabbitmq"
    with RabbitMQ(folder, password) as server:
        yield Side(server.url, server.kill, server.start, password, away=20)


def password_of(server: StoreServer) -> str:
    return urlsplit(server.url).password or ""


BROKERS = [
    redis,
    pytest.param(rediss, marks=pytest.mark.program("openssl")),
    sentinel,
    pytest.param(rabbitmq, marks=pytest.mark.program("rabbitmq-server")),
]


@dataclass
class System:
    """Everything that runs beside a broker."""

    side: Side
    feed: Spiking
    store: Store
    exchange: Exchange
    receiver: HttpServer
    flower: str
    parts: list[LocalProcess] = field(default_factory=list)

    def told(self, alert: str) -> bool:
        """Whether the receiver got an alert whose id begins so."""
        return any(post.headers["Idempotency-Key"].startswith(alert) for post in self.receiver.posts)

    def consumes(self) -> None:
        """Waits until tasks of every queue run again. The one of notify is published by a sweep."""
        before = self.exchange.asked.total()
        self.store.redis.delete("{dt1}:rank:price", "{dt1}:rank:volume")
        alert = Alert("own", f"a:b{time.time_ns()}:price", 1_700_000_040, 9.0, 1.0, 3.0, 60, 3_600, 1_700_000_071.0)
        due_at_once = Outbox(self.store.redis, lambda: time.time() - 60)
        due_at_once.record(alert, 60, ["hook"])
        wait_for(lambda: self.exchange.asked.total() > before, "fetches run", 90)
        wait_for(lambda: len(self.store.ranking("price")) == MARKETS, "evaluations run", 90)
        wait_for(lambda: self.told(alert.id), "notices are sent", 90)


@pytest.fixture(params=BROKERS)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    feed = Spiking(seed=5, markets=MARKETS, exchanges=2)
    with ExitStack() as stack:
        side = stack.enter_context(request.param(tmp_path / "broker"))
        server = stack.enter_context(StoreServer(tmp_path / "store"))
        exchange = stack.enter_context(Exchange(create_app(feed, Clock())))
        receiver = stack.enter_context(HttpServer())
        receiver.says(b"")
        (tmp_path / "rules.toml").write_text(RULES.format(url=receiver.url))
        port = free_port()
        environment = CLEAN | {
            "REDIS_URL": server.url, "BROKER_URL": side.url, "SIMULATOR_URL": exchange.url, "INTERVAL": "2",
            "RULES": str(tmp_path / "rules.toml"), "DATA_DIR": str(tmp_path), "LOG_LEVEL": "debug",
            "FLOWER_PORT": str(port), "FLOWER_UNAUTHENTICATED_API": "true",
        }  # fmt: skip
        store = Store(stack.enter_context(connect(server.url)), Ring())
        system = System(side, feed, store, exchange, receiver, f"http://127.0.0.1:{port}")
        for name, pool, prompt, *words in (
            ("fetch", "prefork", "ready.", "worker", "fetch"),
            ("others", "threads", "ready.", "worker", "evaluate", "notify"),
            ("beat", "prefork", "beat: Starting", "beat"),
            ("flower", "prefork", "Visit me at", "flower"),
        ):
            numbered = ["--name", name, "--concurrency", "1"] if words[0] == "worker" else []
            command = [sys.executable, "-m", "tracker", *words, *numbered]
            part = LocalProcess(name, command, tmp_path, prompt, environment | {"WORKER_POOL": pool})
            stack.callback(part.teardown)
            system.parts.append(part)
        for part in system.parts:
            part.ready()
        yield system


def test_all_works_with_a_broker_of_its_own_and_again_after_it_was_killed(system: System) -> None:
    side, exchange = system.side, system.exchange
    wait_for(lambda: len(system.store.ranking("price")) == MARKETS, "every market is ranked", 60)
    assert_complete(system.store, system.feed)
    system.feed.spike = int(time.time() // 60 * 60)
    wait_for(lambda: system.told("jump:"), "an alert is delivered")
    assert_flower_shows_all(system)

    exchange.delay = 1.5
    wait_for(exchange.busy, "a fetch runs")
    side.lose()
    began = time.monotonic()
    exchange.delay = 0
    wait_for(lambda: time.monotonic() - began >= side.away, "the outage is long enough", side.away + 5)
    side.find()
    back = time.monotonic()
    system.consumes()
    print(f"consumes again after {time.monotonic() - back:.1f} s")
    assert_complete(system.store, system.feed)
    assert [part.name for part in system.parts if part.status != "running"] == []
    wait_for(lambda: flower_workers(system) == 2, "Flower hears of the workers again", 30)
    for part in system.parts:
        assert system.side.password not in part.logs()
        if part.name != "flower":  # at LOG_LEVEL=debug it tells the stack of each lost connection
            assert not re.search("Traceback|Failed to setup", part.logs()), part.name


@pytest.fixture
def on_rabbitmq(tmp_path: Path) -> Iterator[tuple[RabbitMQ, LocalProcess, Exchange]]:
    """A worker with two processes on RabbitMQ, and the exchange that it asks."""
    with ExitStack() as stack:
        server = stack.enter_context(RabbitMQ(tmp_path / "rabbitmq"))
        store = stack.enter_context(StoreServer(tmp_path / "store"))
        exchange = stack.enter_context(Exchange(create_app(Spiking(seed=5, markets=MARKETS, exchanges=2), Clock())))
        environment = CLEAN | {"REDIS_URL": store.url, "BROKER_URL": server.url, "SIMULATOR_URL": exchange.url}
        command = [sys.executable, "-m", "tracker", "worker", "-c", "2"]
        worker = LocalProcess("worker", command, tmp_path, "ready.", environment)
        stack.callback(worker.teardown)
        worker.ready()
        yield server, worker, exchange


@pytest.mark.program("rabbitmq-server")
def test_a_worker_that_lost_its_connection_takes_as_many_tasks_as_before(
    on_rabbitmq: tuple[RabbitMQ, LocalProcess, Exchange],
) -> None:
    server, _, exchange = on_rabbitmq

    def prefetched() -> list[str]:
        lines = server.control("list_consumers", "queue_name", "channel_pid", "prefetch_count").splitlines()
        return [line.split("\t", 1)[1] for line in lines if line.startswith("fetch\t")]

    [before] = prefetched()
    exchange.delay = 600
    app = Celery("sender", broker=server.url, set_as_current=False)
    app.conf.task_queues = [replicated("fetch")]
    app.send_task("tracker.tasks.fetch", ("simulator", [MARKET]), queue="fetch")
    wait_for(exchange.busy, "a fetch runs")
    server.control("close_all_connections", "a test")
    after = wait_for(lambda: [each for each in prefetched() if each != before], "it is connected again")
    assert [each.split("\t")[1] for each in after] == ["2"]


@pytest.mark.program("rabbitmq-server")
def test_sigterm_stops_a_worker_while_rabbitmq_hangs(on_rabbitmq: tuple[RabbitMQ, LocalProcess, Exchange]) -> None:
    server, worker, _ = on_rabbitmq
    children = psutil.Process(worker.process.pid).children(recursive=True)
    server.process.send_signal(signal.SIGSTOP)
    try:
        worker.kill("SIGTERM")
        wait_for(lambda: not alive(children), "its processes are gone")
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert "the store or the broker does not answer" in worker.logs()


@pytest.mark.program("rabbitmq-server")
def test_parts_wait_for_a_virtual_host_and_stop_at_a_wrong_password(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RabbitMQ(tmp_path / "rabbitmq"))
        store = stack.enter_context(StoreServer(tmp_path / "store"))

        def start(name: str, url: str, prompt: str, *words: str) -> LocalProcess:
            environment = CLEAN | {"REDIS_URL": store.url, "BROKER_URL": url, "INTERVAL": "2"}
            command = [sys.executable, "-m", "tracker", *words]
            part = LocalProcess(name, command, tmp_path, prompt, environment)
            stack.callback(part.teardown)
            return part

        refused = start("refused", server.url.replace(server.password, "wrong-password"), "ACCESS_REFUSED", "worker")
        worker = start("worker", f"{server.url}tasks", "Cannot connect to", "worker", "fetch", "-c", "1")
        beat = start("beat", f"{server.url}tasks", "ticks not sent", "beat")
        for part in (refused, worker, beat):
            part.ready()
        assert refused.process.wait(30) == 1
        server.control("add_vhost", "tasks")
        server.control("set_permissions", "-p", "tasks", "tracker", ".*", ".*", ".*")
        wait_for(lambda: "task=schedule_fetches" in worker.logs().partition("ready.")[2], "it takes a tick")
    for part in (refused, worker, beat):
        assert "Traceback" not in part.logs(), part.name
        assert server.password not in part.logs(), part.name
        assert "wrong-password" not in part.logs(), part.name


def assert_flower_shows_all(system: System) -> None:
    wait_for(lambda: flower_workers(system) == 2, "Flower shows the workers")

    def names() -> set[str]:
        tasks = requests.get(f"{system.flower}/api/tasks", timeout=10).json().values()
        return {task["name"].rpartition(".")[2] for task in tasks if task["state"] == "SUCCESS"}

    wait_for(lambda: names() >= {"fetch", "evaluate", "notify"}, "Flower shows a task of each queue")
    for page in ("workers", "tasks", "broker"):
        assert requests.get(f"{system.flower}/{page}", timeout=20).status_code == 200, page


def flower_workers(system: System) -> int:
    """The number of workers that Flower takes for alive."""
    answer = requests.get(f"{system.flower}/workers?json=1", timeout=20).json()
    return sum(bool(worker["status"]) for worker in answer["data"])
