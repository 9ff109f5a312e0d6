"""Workers, and once the store, are killed at random while a receiver fails every third time.

Every alert is delivered at least once. A delivered one is sent again only if its worker was killed while it sent, or if
the store lost its last second when it was killed.
"""

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from redis import RedisError

from tests.support.http_server import HttpServer
from tests.support.servers import StoreServer, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.alerts.outbox import Outbox
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import Store

ALERTS = 2_000
#: The receiver fails at most this often for one alert, so that no wait gets long.
MOST_FAILURES = 3
CHILDREN = 3
WORKERS = {
    "notify-1": ("worker", "notify", "--name", "notify-1", "-c", str(CHILDREN)),
    "notify-2": ("worker", "notify", "--name", "notify-2", "-c", str(CHILDREN)),
    "evaluate": ("worker", "evaluate", "--name", "evaluate", "-c", "1"),
    "beat": ("beat",),
}
RECORD = """
import sys
from tracker.models import Alert
from tracker.tasks import outbox, publish_notices

for start in range(0, int(sys.argv[1]), 100):
    rows = []
    for number in range(start, start + 100):
        metric = f"kraken:m{number}usd:volume"
        alert = Alert("jump", metric, 1_700_000_040, 9.0, 1.0, 3.0, 60, 3_600, 1_700_000_071.0, text="it jumped")
        outbox().record(alert, 60, ["hook"])
        rows.append(f"{alert.id}/hook/firing")
    publish_notices(rows)
"""


class Receiver(HttpServer):
    """Fails every third request, in one of several ways. ``taken``: alert id -> times at which it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.failed: Counter[str] = Counter()
        self._requests = 0
        self._lock = threading.Lock()
        self.answer = self._answer
        self._server.handle_error = lambda *_: None  # killed clients break their connections

    def _answer(self, request) -> None:
        id = request.headers["Idempotency-Key"]
        with self._lock:
            self._requests += 1
            fails = self._requests % 3 == 0 and self.failed[id] < MOST_FAILURES
            self.failed[id] += fails
            kind = self.failed.total() % 3
            if not fails:
                self.taken[id].append(time.time())
        if fails and kind == 0:  # cut after the body
            request.close_connection = True
            return
        request.send_response((200 if not fails else 500) if kind == 1 or not fails else 429)
        request.send_header("Content-Length", "0")
        if fails and kind == 2:
            request.send_header("Retry-After", "1")
        request.end_headers()


class Crew:
    """Real workers and a beat. Like the supervisor, it restarts each that ends."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.environment = folder, environment
        self.running: dict[str, subprocess.Popen] = {}
        self.kills = 0
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def _supervise(self) -> None:
        while not self._stop.wait(0.1):
            for name, arguments in WORKERS.items():
                if name not in self.running or self.running[name].poll() is not None:
                    with (self.folder / f"{name}.log").open("ab") as log:
                        self.running[name] = subprocess.Popen(
                            [sys.executable, "-m", "tracker", *arguments],
                            cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
                        )  # fmt: skip

    def kill_one(self) -> None:
        """Kills a notify worker or one of its processes, as the kernel does when memory runs out."""
        wait_for(self._killed, "there is a worker to kill")

    def _killed(self) -> bool:
        process = self.running[random.choice(["notify-1", "notify-2"])]
        if process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                main = psutil.Process(process.pid)
                random.choice([main, *main.children()]).kill()
                self.kills += 1
                return True
        return False

    def __enter__(self) -> "Crew":
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._supervisor.join()
        for process in self.running.values():
            left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for each in [*left, process]:
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    each.kill()
            process.wait()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path) as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path, server: StoreServer, receiver: Receiver) -> dict[str, str]:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[channels.hook]\nkind = "webhook"\nurl = {json.dumps(receiver.url)}\nallow_private = true\n'
        '[rules.jump]\nkind = "ratio"\nchannels = ["hook"]\n'
    )
    known = {"REDIS_URL": server.url, "RULES": str(rules), "PUBLIC_URL": "https://tracker.example"}
    return CLEAN | known | {"LOG_LEVEL": "warning"}


@pytest.mark.parametrize("store_too", [False, True], ids=["workers", "workers-and-store"])
def test_every_alert_is_delivered_whatever_is_killed(
    tmp_path: Path, server: StoreServer, receiver: Receiver, environment: dict[str, str], store_too: bool
) -> None:
    with Crew(tmp_path, environment) as crew, connect(server.url) as redis:
        outbox = Outbox(redis)
        command = [sys.executable, "-c", RECORD, str(ALERTS)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
        wait_for(lambda: len(receiver.taken) > ALERTS // 20, "notices arrive", 60)
        store_killed = time.time()
        for fraction in range(2, 17):  # kills spread over the deliveries, however fast they are
            wait_for(lambda part=fraction: len(receiver.taken) >= ALERTS * part // 20, f"part {fraction} arrives", 90)
            crew.kill_one()
            if store_too and fraction == 8:
                store_killed = time.time()
                server.kill()
                server.start()
        wait_for(lambda: not pending(outbox), f"all is settled: {receiver.failed.total()} failures", 120)

        dead = outbox.deliveries.dead()
        assert all(row.attempts and row.attempts[-1].detail for row in dead)
        if outbox.deliveries.redrive([row.id for row in dead]):
            wait_for(lambda: not pending(outbox), "the dead are delivered too", 60)

        ids = [f"jump:kraken:m{number}usd:volume:1700000040" for number in range(ALERTS)]
        assert [id for id in ids if not receiver.taken[id]] == []
        assert {row.state for row in outbox.deliveries.all([f"{id}/hook/firing" for id in ids])} == {"delivered"}
        twice = {id: times for id, times in receiver.taken.items() if len(times) > 1}
        lost = [id for id in twice if store_too and -2 < store_killed - twice[id][0] < 2]
        print(f"{crew.kills} kills, {receiver.failed.total()} failures, {len(dead)} dead, {len(twice)} twice,"
              f" {len(lost)} of them within 2 s of the store's end")  # fmt: skip
        assert receiver.failed.total() > ALERTS // 4
        assert crew.kills == 15
        assert len(twice) - len(lost) <= CHILDREN * crew.kills


def test_a_changed_rules_file_is_in_force_without_a_restart_and_a_bad_one_never(
    tmp_path: Path, server: StoreServer, receiver: Receiver, environment: dict[str, str]
) -> None:
    rules = Path(environment["RULES"])
    channel = rules.read_text().partition("[rules.jump]")[0]

    def write(above: str) -> None:
        rules.write_text(f'{channel}[rules.high]\nkind = "threshold"\nabove = {above}\nchannels = ["hook"]\n')

    def evaluate(pair: str, volume: float) -> str:
        """Stores ``volume`` as the newest of a market and lets the workers evaluate it. Returns its metric."""
        market, now = f"kraken:{pair}", time.time()
        slots = store.ring.slots(now)[-3:]
        store.write("simulator", market, slots, np.array([[1.0, 1], [1.0, 1], [1.0, volume]]), now, new=True)
        command = f"from tracker.tasks import evaluate; evaluate.delay([{market!r}])"
        subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=environment, check=True, timeout=60)
        wait_for(lambda: f"{market}:volume" in store.ranking("volume"), f"{market} is evaluated")
        return f"{market}:volume"

    def told() -> set[str]:
        return {id.removeprefix("high:").rpartition(":")[0] for id in receiver.taken}

    write("1000")
    with Crew(tmp_path, environment), connect(server.url) as redis:
        store = Store(redis, Ring())
        evaluate("aausd", 500)
        write("400")
        changed = evaluate("bbusd", 500)
        wait_for(lambda: told() == {changed}, "the new rule is in force, the old one was before")
        write('"nothing"')
        bad = evaluate("ccusd", 600)
        wait_for(lambda: told() == {changed, bad}, "the rule stays in force")
        notice = json.loads(receiver.posts[-1].body)
        assert set(notice["actions"]) == {"acknowledge", "silence"} and notice["picture"] and notice["context"]
        log = (tmp_path / "evaluate.log").read_text()
        assert "THE RULES ARE NOT RELOADED" in log and "expected a number" in log


def pending(outbox: Outbox) -> int:
    with contextlib.suppress(RedisError):
        return outbox.redis.zcard("{dt1}:due")
    return -1
