"""The API over a replica: what it reads there, what goes to the master, and that no client is led back in time."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from flask.testing import FlaskClient

from api import create_app
from api.serving import access, cache
from api.v1 import table
from tests.support.redis_servers import Followed, Replicated, Server
from tests.support.served import served
from tests.support.servers import free_port, wait_for, wait_for_room
from tests.support.tracked import RING, market
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.errors import StoreError
from tracker.models import Alert
from tracker.settings import load
from tracker.store import reading
from tracker.store.api_keys import Keys
from tracker.store.connection import connect
from tracker.store.reading import Replicas, replicas_behind
from tracker.store.series import Store

pytestmark = pytest.mark.slow  # starts servers for each test

MARKETS = ("kraken:ethbtc", "bancor:bntbtc")
PATHS = (
    "/v1/metrics/kraken:ethbtc:volume",
    "/v1/metrics/kraken:ethbtc:volume?since=1",
    "/v1/markets/bancor:bntbtc",
    "/v1/metrics?field=volume&fields=id,last",
    "/v1/movers?field=volume",
)
ALERTS = "/v1/alerts?limit=1000"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Followed]:
    with Followed(tmp_path) as servers:
        yield servers


@pytest.fixture
def replica(servers: Followed) -> Server:
    return servers.replicas[0]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request asks the store, and the replicas are looked at often."""
    for module in (cache, table, access):
        monkeypatch.setattr(module, "UNASKED", 0.0)
    monkeypatch.setattr(reading, "EVERY", 0.05)


class Api:
    """An API over ``store_url`` that reads from ``read_url``, once a replica is chosen."""

    def __init__(self, store_url: str, read_url: str, **variables: str):
        self.app = create_app(load({"REDIS_URL": store_url, "REDIS_READ_URL": read_url} | variables))
        found = replicas_behind(self.app.extensions["reads"].redis)
        assert found
        self.replicas: Replicas = found
        self.follows()

    def follows(self) -> None:
        wait_for(lambda: self.replicas.chosen, "a replica is chosen")

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()


class Writer:
    """Writes a larger number each time, as the newest values of all markets, and evaluates every other time."""

    def __init__(self, url: str):
        self.store = Store(connect(url, tries=3, patience=2), RING)
        self.outbox = Outbox(self.store.redis)
        self.number = 0
        self.store.watch("simulator", [market(id) for id in MARKETS])

    def write(self) -> None:
        self.number += 1
        now = time.time()
        for id in MARKETS:
            slots, values = RING.slots(now)[-2:], np.full((2, 2), float(self.number))
            self.store.write("simulator", id, slots, values, now, new=self.number < 10)
        if self.number % 2:
            pipeline.evaluate(self.store, self.outbox, (), MARKETS, now)
        if self.number % 20 == 1:
            metric = f"{MARKETS[0]}:volume"
            self.outbox.record(Alert("rule", metric, self.number, 1.0, 1.0, 3.0, 60, 3_600, now), 1)

    def write_on(self, until: threading.Event) -> None:
        while not until.is_set():
            try:
                self.write()
            except StoreError:
                until.wait(0.1)


def shown(path: str, answer: Any) -> dict[str, float]:
    """The numbers in an answer that never decrease, by name."""
    if path == ALERTS:
        return {"alerts": len(answer["alerts"])}
    if path.startswith("/v1/markets"):
        return {"last": answer["volume"]["last"]}
    rows = next((answer[name] for name in ("metrics", "top") if name in answer), [answer])
    return {row["id"]: row["last"] for row in rows if row["last"] is not None}


class Watcher:
    """A client that asks for the same paths again and again, and notes where it is led back."""

    def __init__(self, client: FlaskClient):
        self.client = client
        self.answers: dict[int, int] = defaultdict(int)
        self.wrong: list[str] = []
        self._etags: dict[str, list[str]] = {path: [""] for path in (*PATHS, ALERTS)}
        self._last: dict[str, dict[str, float]] = defaultdict(dict)

    def watch_on(self, until: threading.Event) -> None:
        while not until.is_set():
            self.ask(random.choice([*PATHS, ALERTS]))

    def ask(self, path: str) -> None:
        answer = self.client.get(path)
        self.answers[answer.status_code] += 1
        if answer.status_code != 200:
            return
        etag, before = answer.headers["ETag"], self._etags[path]
        if etag in before[:-1]:
            self.wrong.append(f"{path}: an ETag of {len(before) - before.index(etag)} answers ago")
        if etag != before[-1]:
            before.append(etag)
        for name, number in shown(path, answer.json).items():
            if number < self._last[path].get(name, 0):
                self.wrong.append(f"{path}: {name} went from {self._last[path][name]} to {number}")
            self._last[path][name] = number

    def number(self) -> float:
        """The number in the last answer of each path, the smallest."""
        return min(min(self._last[path].values(), default=0) for path in PATHS)


def watch(api: Api, writer: Writer, disturb: Callable[[], None], clients: int = 3) -> list[Watcher]:
    """Lets clients watch while the writer writes and ``disturb`` runs. Then all see what was written last."""
    until = threading.Event()
    watchers = [Watcher(api.client) for _ in range(clients)]
    tasks = [writer.write_on, *(watcher.watch_on for watcher in watchers)]
    with ThreadPoolExecutor(len(tasks)) as threads:
        running = [threads.submit(task, until) for task in tasks]
        try:
            disturb()
        finally:
            until.set()
    for each in running:
        each.result()
    writer.number += writer.number % 2  # the next one is evaluated
    writer.write()

    def all_new() -> bool:
        for path in (*PATHS, ALERTS):
            watchers[0].ask(path)
        return watchers[0].number() == writer.number

    wait_for(all_new, f"the last number is shown, {writer.number}")
    return watchers


def seen(watchers: list[Watcher], status: int) -> int:
    return sum(watcher.answers[status] for watcher in watchers)


def test_no_client_is_led_back_while_replicas_stop_lag_and_die(tmp_path: Path) -> None:
    with Followed(tmp_path, replicas=2) as servers:
        writer = Writer(servers.master.url)
        writer.write()
        api = Api(servers.master.url, servers.replicas[0].url)
        other = Api(servers.master.url, servers.replicas[1].url)

        def switch() -> None:
            """The API turns to the other replica, as it does when sentinels name several."""
            api.replicas._known, other.replicas._known = other.replicas._known, api.replicas._known
            api.replicas._urls, other.replicas._urls = other.replicas._urls, api.replicas._urls

        def disturb() -> None:
            for number in range(8):
                one, two = random.sample(servers.replicas, 2)
                before = writer.number
                one.follow(free_port())
                wait_for(lambda before=before: writer.number > before + 20, "writes go on")
                switch()
                if number % 4 == 3:
                    two.kill()
                else:
                    two.stop()
                wait_for(lambda before=before: writer.number > before + 40, "writes go on")
                switch()
                two.start() if number % 4 == 3 else two.go_on()
                one.follow(servers.master.port)
                wait_for(lambda before=before: writer.number > before + 80, "writes go on")

        watchers = watch(api, writer, disturb)
        assert [wrong for watcher in watchers for wrong in watcher.wrong] == []
        assert seen(watchers, 200) > 1_000
        assert seen(watchers, 503) == 0


def test_no_client_is_led_back_by_a_failover(tmp_path: Path) -> None:
    with Replicated(tmp_path, replicas=2) as servers:
        writer = Writer(servers.url)
        writer.write()
        api = Api(servers.url, servers.url)

        def disturb() -> None:
            old, before = servers.master, writer.number
            wait_for(lambda: writer.number > before + 50, "writes go on")
            old.kill()
            wait_for(lambda: servers.master is not old, "a replica is the master", 60)
            after = writer.number
            wait_for(lambda: writer.number > after + 50, "the new master takes writes", 60)
            old.start()
            api.follows()
            last = writer.number
            wait_for(lambda: writer.number > last + 50, "writes go on")

        watchers = watch(api, writer, disturb)
        assert [wrong for watcher in watchers for wrong in watcher.wrong] == []
        assert seen(watchers, 200) > 1_000


@pytest.fixture
def writer(servers: Followed) -> Writer:
    writer = Writer(servers.master.url)
    writer.write()
    return writer


@pytest.fixture
def api(servers: Followed, replica: Server, writer: Writer) -> Api:
    return Api(servers.master.url, replica.url)


def test_answers_come_from_the_replica_while_the_master_is_away(servers: Followed, api: Api) -> None:
    healthy = api.client.get("/healthz").json
    assert (healthy["store"], healthy["replica"]["reason"], healthy["metrics"]) == ("ok", "", 4)
    servers.master.kill()

    assert {path: api.client.get(path).status_code for path in (*PATHS, ALERTS)} == dict.fromkeys((*PATHS, ALERTS), 200)
    wait_for(lambda: not api.replicas.reads.master, "the master is missed")
    assert api.client.get("/healthz").json["store"] == "read-only"
    silence = api.client.post("/v1/silences", json={"match": "*", "for": 60, "reason": "test"})
    assert silence.status_code == 503


def test_answers_come_from_the_master_while_the_replica_is_away(replica: Server, api: Api, writer: Writer) -> None:
    replica.kill()
    writer.number += 1
    writer.write()
    watcher = Watcher(api.client)
    for path in PATHS:
        watcher.ask(path)
    assert watcher.number() == writer.number
    assert api.client.get("/healthz").json["replica"] == {"lag": None, "reason": "it does not answer"}


def test_what_a_client_has_written_is_in_its_next_answer(replica: Server, api: Api) -> None:
    [alert] = api.client.get(ALERTS).json["alerts"]
    replica.follow(free_port())  # the replica never gets it
    noted = api.client.post(f"/v1/alerts/{alert['id']}/acknowledge", json={"by": "me"})
    assert noted.status_code == 200
    assert api.client.get(ALERTS).json["alerts"][0]["acknowledged"]["by"] == "me"


def test_requests_are_counted_on_the_master(servers: Followed, replica: Server, writer: Writer) -> None:
    wait_for_room()
    client = Api(servers.master.url, replica.url, API_RATE="3").client
    replica.follow(free_port())
    assert [client.get(PATHS[0]).status_code for _ in range(4)] == [200, 200, 200, 429]
    [count] = servers.master.client.keys("{dt1}:count:*")  # type: ignore[misc]
    assert servers.master.client.get(count) == b"4"


def test_a_revoked_key_is_refused_although_the_replica_still_has_it(
    servers: Followed, replica: Server, writer: Writer
) -> None:
    keys = Keys(servers.master.client)
    text = keys.create("a", "read", 0)
    client = Api(servers.master.url, replica.url, API_READS="key").client
    sent = {"Authorization": f"Bearer {text}"}
    assert client.get(PATHS[0], headers=sent).status_code == 200
    wait_for(lambda: replica.client.hlen("{dt1}:keys"), "the replica has the key")
    replica.follow(free_port())
    keys.revoke(text[3:11])
    assert client.get(PATHS[0], headers=sent).status_code == 401


@pytest.mark.parametrize(("fail", "status"), [("open", 200), ("closed", 503)])
def test_a_store_that_takes_no_counts_is_told_once_and_the_setting_is_obeyed(
    servers: Followed, replica: Server, writer: Writer, fail: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load({"REDIS_URL": replica.url, "API_RATE": "3", "API_RATE_FAIL": fail})
    client = create_app(settings).test_client()
    wait_for(lambda: replica.client.hlen("{dt1}:summary:price"), "the replica has the summaries")

    assert {client.get(PATHS[0]).status_code for _ in range(5)} == {status}
    replica.client.execute_command("REPLICAOF NO ONE")
    wait_for(lambda: client.get(PATHS[0]).status_code == 200, "it takes writes now")

    said = [record.message for record in caplog.records if record.name == "api.serving.access"]
    assert [line.partition(":")[0] for line in said] == [
        f"requests cannot be counted, API_RATE_FAIL={fail}",
        "requests are counted again",
    ]
    assert "read only" in said[0] or "READONLY" in said[0]


def test_the_processes_of_the_api_read_from_the_replica(servers: Followed, replica: Server, writer: Writer) -> None:
    with served(servers.master.url, REDIS_READ_URL=replica.url) as url:
        wait_for(lambda: requests.get(f"{url}/healthz", timeout=5).json()["replica"]["lag"] == 0, "the replica is read")
        for number in range(20):
            assert requests.get(f"{url}{PATHS[0]}?since={number}", timeout=5).json()["last"] == writer.number
    assert [asked_for_ranks(server) for server in servers.servers] == [0, 40]


def asked_for_ranks(server: Server) -> int:
    told: dict = server.client.info("commandstats")  # type: ignore[assignment]
    return told["cmdstat_zrevrank"]["calls"] if "cmdstat_zrevrank" in told else 0
