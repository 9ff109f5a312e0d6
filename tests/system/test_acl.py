"""Everything runs as the user of Redis that SECURITY.md tells operators to make, and that user may do no more."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import gethostname
from typing import NamedTuple

import pytest
import requests

from tests.support import acl
from tests.support.busy import RULES, feed
from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.redis_servers import Server
from tests.support.servers import free_port, wait_for
from tests.support.stack import ROOT
from tracker.clock import Clock
from tracker.simulator.server import create_app
from tracker.store.connection import connect, server_version

FEED = feed()
#: Commands that ask the store, and what they print if all is well.
COMMANDS = {
    ("sources",): "simulator",
    ("refused", "list"): "0 refused",
    ("deliveries", "list"): "0 dead",
    ("alerts", "list"): "alerts",
    ("rules", "backtest"): "trades",
    ("export", "page"): "",
}


class Ran(NamedTuple):
    """What one server was asked while everything ran as its user with ``rights``, and what it denied."""

    server: Server
    rights: Sequence[str]
    asked: list[list[bytes]]
    denied: list[dict]


def run(folder: Path, variables: dict[str, str]) -> None:
    """Runs every part until it has done its work, and every command that asks the store."""
    (folder / "rules.toml").write_text(RULES)
    variables |= {"RULES": str(folder / "rules.toml"), "DATA_DIR": str(folder), "INTERVAL": "2", "BUDGET": "100/1"}
    variables |= {"API_RATE": "100000"} | {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT")}
    with (
        Exchange(create_app(FEED, Clock())) as exchange,
        Parts(folder, SIMULATOR_URL=exchange.url, **variables) as parts,
    ):
        parts.start("flower", prompt="Visit me at")
        worker = parts.start("worker", "--name", "all", "--concurrency", "2", prompt="ready.")
        beat = parts.start("beat", prompt="beat: Starting")
        parts.start("api", prompt="Started worker-2")
        flower_shows_the_worker(f"http://127.0.0.1:{variables['FLOWER_PORT']}")
        key = told(folder, parts.environment, "keys", "create", "me", "--scope", "admin").split()[-1]
        api_serves_and_takes(f"http://127.0.0.1:{variables['API_PORT']}/v1", key)
        wait_for(lambda: "ALERT" in worker.logs(), "notices are sent")
        for command, words in COMMANDS.items():
            assert words in told(folder, parts.environment, *command)
        server_version(connect(variables["REDIS_URL"]))  # as ``start`` asks
        for part in (worker, beat):
            assert "permission" not in part.logs() and "Traceback" not in part.logs()


def told(folder: Path, environment: dict[str, str], *words: str) -> str:
    """What a command prints."""
    command, there = [sys.executable, "-m", "tracker", *words], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment | there, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flower_shows_the_worker(url: str) -> None:
    def metrics() -> str:
        return requests.get(f"{url}/metrics", timeout=10).text

    def named(search: str) -> list[str]:
        """The names of the tasks that the page shows for a search."""
        asked = {"draw": "1", "start": "0", "length": "9", "order[0][column]": "0", "search[value]": search}
        rows = requests.post(f"{url}/tasks/datatable", asked, timeout=10).json()["data"]
        return [row["name"] for row in rows]

    wait_for(lambda: 'task="tracker.tasks.fetch"' in metrics(), "Flower hears of tasks")
    market = f"{FEED.markets[0].exchange}:{FEED.markets[0].pair}"
    wait_for(lambda: f"fetch {market}" in named(market), "Flower shows the fetch of a market")
    assert "sweep" not in metrics()
    wait_for(lambda: requests.get(f"{url}/worker/all@{gethostname()}", timeout=10).ok, "the worker answers Flower")


def api_serves_and_takes(url: str, key: str) -> None:
    def get(path: str) -> dict:
        answer = requests.get(url + path, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(path: str, **body: str) -> None:
        answer = requests.post(url + path, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        assert answer.ok, answer.text

    wait_for(lambda: get("/metrics")["total"] == 2 * len(FEED.markets), "every metric is served")
    alerts = wait_for(lambda: get("/alerts")["alerts"], "alerts are served", 90)
    post(f"/alerts/{alerts[0]['id']}/acknowledge", by="me")
    post("/silences", **{"match": "*:price", "for": "1h", "reason": "quiet"})


@pytest.fixture(scope="module", params=["one server", "two servers"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ran]]:
    folder = tmp_path_factory.mktemp("acl")
    users = {"REDIS_URL": acl.SHARED}
    if request.param == "two servers":
        users = {"REDIS_URL": acl.OF_STORE, "BROKER_URL": acl.OF_BROKER}
    with ExitStack() as stack:
        servers = [Server(folder) for _ in users]
        for server, rights in zip(servers, users.values(), strict=True):
            stack.callback(server.kill)
            acl.make(server.start().client, rights)
        with ExitStack() as listening:
            heard = [listening.enter_context(acl.Overheard(server.client)) for server in servers]
            run(folder, {name: acl.url(server) for name, server in zip(users, servers, strict=True)})
        yield [
            Ran(server, rights, each.commands, server.client.acl_log())
            for server, rights, each in zip(servers, users.values(), heard, strict=True)
        ]


def test_everything_runs_as_this_user(ran: list[Ran]) -> None:
    for server, _, asked, denied in ran:
        assert denied == []
        assert len(asked) > 20 and acl.refused(server.client, asked) == []


def test_no_right_can_be_left_out(ran: list[Ran]) -> None:
    for server, rights, asked, _ in ran:
        missed = []
        for right in acl.granted(rights):
            acl.make(server.client, [each for each in rights if each != right], "less")
            missed += [right] if acl.refused(server.client, asked, "less") else []
        assert missed == acl.granted(rights)
