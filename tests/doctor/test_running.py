"""Faults of parts: some with real processes, those that need minutes with heartbeats as such parts write them."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from tests.support.examined import examined, part, problems, well
from tests.support.parts import Parts
from tests.support.redis_servers import APPEND, Server
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.doctor import work
from tracker.store import parts
from tracker.store.parts import IDLE, LIFE, SILENT, Part

#: What is found of parts.
CHECKS = ("workers", "beat", "parts", "clocks", "versions")
Faults = Callable[[], dict[str, list[str]]]


@pytest.fixture
def faults(store_server: StoreServer, redis: Redis) -> Faults:
    """The faults of parts that are found in a tracker that was well before the test."""
    well(redis)
    return partial(found, store_server.url)


def found(url: str) -> dict[str, list[str]]:
    return {check: texts for check, texts in problems(examined(REDIS_URL=url)).items() if check in CHECKS}


def silent(redis: Redis, one: Part, age: float) -> None:
    """Writes the last heartbeat of ``one``, ``age`` seconds ago."""
    parts.write(redis, one)
    redis.pexpire(f"{{dt1}}:part:{one.id}", int((LIFE - age) * 1000))


def test_all_is_well(faults: Faults) -> None:
    assert faults() == {}


def test_a_part_that_was_killed(faults: Faults, redis: Redis) -> None:
    silent(redis, part("worker", "second", "fetch"), SILENT + 20)
    [text] = faults()["parts"]
    assert "worker second@" in text and "silent for 40 s" in text


def test_a_part_that_was_killed_and_started_again(faults: Faults, redis: Redis) -> None:
    silent(redis, part("api", "api", pid=1, began=1.0), SILENT + 20)
    assert faults() == {}


def test_the_only_worker_and_the_only_beat_were_killed(faults: Faults, redis: Redis) -> None:
    for one in (part("worker", "all", "fetch", "evaluate", "notify"), part("beat", "beat")):
        silent(redis, one, SILENT + 20)
    texts = faults()
    assert len(texts["workers"]) == 3 and len(texts["beat"]) == 1 and len(texts["parts"]) == 2


def test_a_worker_that_takes_no_messages(faults: Faults, redis: Redis) -> None:
    parts.write(redis, part("worker", "all", "fetch", "evaluate", "notify", idle=IDLE + 20))
    texts = faults()
    assert "takes no messages for 50 s" in texts["parts"][0] and len(texts["workers"]) == 3


def test_versions_that_differ(faults: Faults, redis: Redis) -> None:
    parts.write(redis, part("worker", "old", "fetch", version="0.0.9"))
    [text] = faults()["versions"]
    assert "0.0.9: worker old@" in text


def test_a_clock_of_another_machine(faults: Faults, redis: Redis) -> None:
    one = part("worker", "far", "fetch", host="far")
    parts.write(redis, part("worker", "far", "fetch", host="far", now=one.now - 3_600))
    [text] = faults()["clocks"]
    assert text == "that of far is 60 min behind the store's"


@pytest.mark.program("faketime")
def test_the_clock_of_this_machine(store_server: StoreServer) -> None:
    command = ["faketime", "-f", "-1h", sys.executable, "-m", "tracker", "doctor"]
    environment = CLEAN | {"REDIS_URL": store_server.url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert "that of this machine is 60 min behind the store's" in done.stdout
    assert done.returncode == 1 and done.stderr == ""


@pytest.mark.slow
@pytest.mark.program("faketime")
def test_real_parts_without_a_worker_of_a_queue_and_with_a_wrong_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue without a worker fills, too."""
    monkeypatch.setattr(work, "BACKLOG", 1)
    server = Server(tmp_path, *APPEND).start()
    ports = {name: str(free_port()) for name in ("SIMULATOR_PORT", "API_PORT")}
    try:
        with Parts(tmp_path, REDIS_URL=server.url, DATA_DIR=str(tmp_path), **ports) as running:
            running.start("worker", "fetch", "notify", "--concurrency", "1", prompt="ready.")
            wait_for(lambda: len(found(server.url).get("workers", [])) == 1, "the worker is seen")
            assert found(server.url) == {
                "workers": ["none takes from evaluate: there are no new ranks and alerts"],
                "beat": ["none sends ticks: nothing is fetched"],
            }
            running.start("beat", prompt="beat: Starting", off="+120")
            wait_for(lambda: "beat" not in found(server.url), "the beat is seen")
            [text] = found(server.url)["clocks"]
            assert re.search(r"(2 min|12\d s) ahead of the store's", text)
            backlog = wait_for(lambda: problems(examined(REDIS_URL=server.url)).get("backlog"), "a queue fills")
            assert "tasks wait in evaluate" in backlog[0]
    finally:
        server.kill()
