"""`python -m tracker status` and `doctor`: what they print, and their exit status."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from tests.support.examined import part, well
from tests.support.servers import StoreServer, free_port
from tracker import clock
from tracker.commands.cli import root
from tracker.store import parts
from tracker.store.parts import IDLE
from tracker.store.series import Store


@pytest.fixture(autouse=True)
def uncorrected() -> Iterator[None]:
    yield
    clock.set_ahead(0.0)


def run(server: StoreServer, *words: str) -> Result:
    ports = {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT", "METRICS_PORT")}
    return CliRunner().invoke(root, words, env={"REDIS_URL": server.url, **ports})


def test_a_tracker_that_is_well(store_server: StoreServer, redis: Redis) -> None:
    well(redis)
    done = run(store_server, "status")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[-1] == "All is well." and max(map(len, lines)) <= 80
    assert any(re.match(r"  worker all +\S+ +working +up 1\d\d s +all queues", line) for line in lines)
    assert any(re.match(r"  simulator +ok +0 markets, last answer \d s ago", line) for line in lines)


def test_what_is_wrong_and_what_to_do(store_server: StoreServer, redis: Redis, store: Store) -> None:
    well(redis)
    parts.write(redis, part("worker", "all", "fetch", "notify", idle=IDLE + 20))
    store.failed("simulator", time.time(), "too_slow", "one\nlong \x1b[2J text " * 20)
    store.note("simulator", last_success=time.time() - 300)
    done = run(store_server, "status")
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80 and "\x1b" not in done.output
    assert re.match(r"  worker all +\S+ +idle 50 s", lines[2])
    assert "! workers: none takes from evaluate: there are no new ranks and alerts" in lines
    assert "  -> start one: python -m tracker worker evaluate" in lines


def test_rules_that_cannot_be_read_are_a_problem(store_server: StoreServer, redis: Redis, tmp_path: Path) -> None:
    well(redis)
    (tmp_path / "rules.toml").write_text("[rules")
    done = CliRunner().invoke(
        root, ["status"], env={"REDIS_URL": store_server.url, "RULES": str(tmp_path / "rules.toml")}
    )
    assert done.exit_code == 1 and "! rules: " in done.output


def test_many_parts_and_problems_stay_on_one_screen(store_server: StoreServer, redis: Redis) -> None:
    for number in range(60):
        host = f"the-long-name-of-pod-{number}"
        parts.write(redis, part("worker", f"worker-{number}", "fetch", host=host, idle=number * 2.0))
    done = run(store_server, "status")
    lines = done.output.splitlines()
    assert "  and 50 more" in lines and re.match(r"  worker .* idle ", lines[2])
    assert re.match(r"and \d+ more: python -m tracker doctor", lines[-1])
    assert len(lines) < 70 and re.search(r"\.\.\.e-of-pod-\d\d idle", done.output)


def test_as_json(store_server: StoreServer, redis: Redis) -> None:
    well(redis)
    told = json.loads(run(store_server, "status", "--json").output)
    assert told["well"] and {each["kind"]: each["state"] for each in told["parts"]} == dict.fromkeys(
        ("api", "beat", "worker"), "working"
    )
    redis.flushall()
    done = run(store_server, "status", "--json")
    assert done.exit_code == 1 and not json.loads(done.output)["well"]


@pytest.mark.parametrize("command", ["status", "sources"])
def test_a_store_that_is_away_is_one_line(command: str) -> None:
    done = CliRunner().invoke(root, [command], env={"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    assert done.exit_code == 1 and "Connection refused" in done.output and len(done.output.splitlines()) == 1


def test_the_doctor_finds_nothing(store_server: StoreServer, redis: Redis) -> None:
    well(redis)
    done = run(store_server, "doctor")
    lines = done.output.splitlines()
    assert done.exit_code == 0 and lines[-1] == "0 problems", done.output
    assert all(line.startswith("ok ") for line in lines[:-1])


def test_the_doctor_finds_a_line_for_each_problem(store_server: StoreServer, redis: Redis) -> None:
    done = run(store_server, "doctor")
    found = [line for line in done.output.splitlines() if line.startswith("PROBLEM ")]
    assert done.exit_code == 1 and len(found) == 4 and all("What to do: start one: " in line for line in found)
    assert done.output.splitlines()[-1] == "4 problems"
