"""One command starts everything, Ctrl-C ends everything, and a second start goes on."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.support.servers import StoreServer, answers, free_port, wait_for
from tests.support.stack import CLEAN, ROOT, Stack, alive


def test_one_command_runs_everything_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    # A first start that is ended in the middle of its backfill ...
    for folder in (tmp_path / "log", tmp_path / "store"):  # as earlier versions made them
        folder.mkdir(mode=0o755)
    with Stack(tmp_path) as stack:
        wait_for(lambda: any(0 < fetched < 60 for fetched in progress(stack)), "some markets are fetched", 90)
        assert open_to_others(tmp_path) == []
        assert stack.stop() == []

    # ... loses nothing: the second one goes on.
    with Stack(tmp_path) as stack:
        stack.ready()

        listed = stack.get("/v1/metrics?limit=1000")
        assert listed["total"] == 120
        assert all(metric["rank"] for metric in listed["metrics"])
        series = stack.get(f"/v1/metrics/{listed['metrics'][0]['id']}")
        assert len(series["values"]) == 1441
        first_trade = next(at for at, value in enumerate(series["values"]) if value is not None)
        assert first_trade < 60  # no price is known before it
        assert None not in series["values"][first_trade:-1]
        wait_for(lambda: answers(f"{stack.flower}/workers"), "Flower answers")
        assert progress(stack)[-1] == 60
        assert any(f"{stack.api}/v1/metrics" in line for line in stack.lines)
        assert not shows(stack, (tmp_path / "store" / "password").read_text())
        assert shown_processes(stack) >= {"store", "simulator", "workers:fetch", "workers:evaluate", "beat", "api"}

        assert stack.stop() == []
        assert stack.process.returncode == 0
        assert stack.lines[-1] == "stopped"

    # What it stored is there for the next start.
    with Stack(tmp_path) as again:
        again.ready()
        later = again.get(f"/v1/metrics/{series['id']}")
        shift = (later["start"] - series["start"]) // series["step"]
        assert later["values"][: 1440 - shift - 2] == series["values"][shift : 1440 - 2]
        assert again.stop() == []


def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        started = stack.processes()
        stack.find("supervisor.supervisord").kill()
        wait_for(lambda: stack.process.poll() is not None, "the start has ended", 60)
        assert alive(started) == []
        stack.stop()  # reads its last lines
        assert "the supervisor ended" in stack.lines[-1]


def test_the_next_start_ends_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    hand = CLEAN | {"DATA_DIR": str(tmp_path / "data"), "STORE_PORT": str(free_port()), "LOG_LEVEL": "error"}
    with StoreServer(tmp_path / "other") as other, Stack(tmp_path / "data", SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        started = stack.processes()
        (supervisor := stack.find("supervisor.supervisord")).suspend()  # so that it cannot stop its programs
        stack.process.kill()
        stack.process.wait()
        supervisor.kill()
        assert len(alive(started)) > 15
        beside = subprocess.Popen([sys.executable, "-m", "tracker", "beat"], cwd=ROOT, env=hand)
        try:
            stack.lines.clear()
            stack.start()
            stack.ready()
            assert alive(started) == []
            said = [line for line in stack.lines if line.startswith("ending ")]
            assert len(said) == 1 and f"processes of an earlier start in {tmp_path / 'data'} that was killed" in said[0]
            assert beside.poll() is None and other.answers()
        finally:
            beside.kill()
            beside.wait()
        assert stack.stop() == []


def test_ctrl_c_ends_everything_while_the_store_hangs(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        started = stack.processes()
        stack.find("valkey-server").send_signal(signal.SIGSTOP)
        stack.process.send_signal(signal.SIGINT)
        stack.process.wait(30)  # it takes 8 s
        assert alive(started) == []
        assert stack.process.returncode == 0


def test_a_given_store_is_used(tmp_path: Path, store_server: StoreServer, redis: Redis) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3", REDIS_URL=store_server.url) as stack:
        stack.ready()
        assert redis.zcard("{dt1}:rank:price") == 3
        assert stack.find_all("valkey") == []
        assert stack.stop() == []
    assert store_server.answers()


def test_a_flower_that_others_could_reach_without_a_login_is_told_and_the_rest_runs(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3", FLOWER_BIND="0.0.0.0") as stack:
        stack.ready()
        assert any(line.startswith("Flower    does not run: FLOWER_BIND=0.0.0.0: expected a") for line in stack.lines)
        assert shown_processes(stack) >= {"store", "simulator", "workers:fetch", "workers:evaluate", "beat", "api"}
        assert stack.find_all("flowerconfig") == []
        assert stack.stop() == []


def test_a_source_that_is_away_is_told_and_the_rest_runs(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_URL=f"http://127.0.0.1:{free_port()}") as stack:
        stack.ready()
        assert any("no progress" in line and "tracker status" in line for line in stack.lines)
        assert stack.get("/v1/metrics") == {"metrics": [], "next": None, "total": 0}
        assert stack.stop() == []


def test_a_killed_start_takes_its_processes_along(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        started = stack.processes()
        stack.process.kill()
        wait_for(lambda: not alive(started), "all processes are gone", 60)


def test_a_store_that_had_to_be_repaired_is_told_and_its_markets_are_fetched_again(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        stack.redis.hset("{dt1}:keys", "one", "a key")
        assert stack.stop() == []
    [increment] = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
    data = increment.read_bytes()
    ring = data.index(b"SETRANGE")
    increment.write_bytes(data[: ring + 30] + bytes(9_000) + data[ring + 2_000 :])

    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        told = next(line for line in stack.lines if line.startswith("Repaired"))
        assert "bytes of commands are loaded" in told
        sources = subprocess.run(
            [sys.executable, "-m", "tracker", "sources"], cwd=ROOT, env=stack.environment,
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert told.removeprefix("Repaired").strip() in sources.stdout
        wait_for(lambda: not stack.redis.exists("{dt1}:refetch"), "every market is fetched again", 90)
        for metric in stack.get("/v1/metrics")["metrics"]:
            values = stack.get(f"/v1/metrics/{metric['id']}")["values"]
            assert None not in values[60:-1]


def test_a_store_that_does_not_start_is_told_and_not_welcomed(tmp_path: Path) -> None:
    in_its_way = tmp_path / "store" / f"{free_port()}.sock"
    (in_its_way / "x").mkdir(parents=True)
    with Stack(tmp_path, SIMULATOR_MARKETS="3", STORE_PORT=in_its_way.stem) as stack:
        words = "the store does not answer: the store ended before it answered, with status 1: "
        wait_for(lambda: any(line.startswith(words) for line in stack.lines), "it says why", 60)
        (in_its_way / "x").rmdir()
        in_its_way.rmdir()
        stack.ready()
        assert [line.startswith(words) for line in stack.lines if "Dashboard" in line or words in line] == [True, False]


@pytest.mark.parametrize("name", ["API_PORT", "FLOWER_PORT", "SIMULATOR_PORT", "STORE_PORT"])
def test_a_taken_port_is_one_clear_line(tmp_path: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal(tmp_path, **{name: str(port)})
    assert line.startswith(f"start: {name}={port}: expected a port that can be listened on (Address already in use)")
    assert "choose another" in line


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"INTERVAL": "soon"}, "INTERVAL='soon': expected a number from 1 to 3600"),
        ({"STEP": "61"}, "STEP='61': expected one of 60, 180"),
        ({"REDIS_URL": "localhost"}, "REDIS_URL=(secret): expected a URL that begins with one of redis://"),
        (
            {"REDIS_URL": "redis://user:hunter2@127.0.0.1:1/0"},
            "REDIS_URL=redis://127.0.0.1:1/0: expected a server that",
        ),
        ({"SOURCES": "mtgox"}, "SOURCES='mtgox': expected a comma-separated list"),
        ({"SIMULATOR_CANDLES": "/nowhere"}, "/nowhere"),
        ({"BIND_ADDRESS": "0.0.0.0"}, "BIND_ADDRESS=0.0.0.0: expected an API key to be there before others can reach"),
        ({"API_PORT": "5555"}, "API_PORT=5555: expected a port of its own, FLOWER_PORT is the same"),
    ],
)
def test_a_bad_variable_is_one_clear_line(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    line = refusal(tmp_path, **{"FLOWER_PORT": "5555"} | variables)
    assert words in line
    assert "hunter2" not in line


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "expected a writable folder" in refusal(tmp_path / "file")


def test_a_path_with_a_space_will_do_and_one_with_a_percent_sign_is_refused(tmp_path: Path) -> None:
    assert "expected a path without %" in refusal(tmp_path / "a%b")
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "venv").symlink_to(sys.prefix)
    with Stack(tmp_path / "a b" / "data", SIMULATOR_MARKETS="1", python=tmp_path / "a b" / "venv/bin/python") as stack:
        stack.ready()


def test_a_refused_replay_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "candles").mkdir()
    assert "candles" in refusal(tmp_path / "data", SIMULATOR_CANDLES=str(tmp_path / "candles"))
    assert not (tmp_path / "data").exists()


def test_a_second_start_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Stack(tmp_path, SIMULATOR_MARKETS="3") as stack:
        stack.ready()
        assert "already running" in refusal(tmp_path)


def test_an_old_python_is_one_clear_line(tmp_path: Path) -> None:
    old = tmp_path / "python-of-old"
    old.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 1\necho Python 3.8.18\n')
    old.chmod(0o755)
    ended = subprocess.run(
        [ROOT / "scripts/start"], env=CLEAN | {"PYTHON": str(old), "VENV": str(tmp_path / "venv")},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("Python 3.11 or newer is needed")
    assert len(ended.stderr.splitlines()) == 1


def test_an_index_that_cannot_be_reached_is_said_with_what_to_do(tmp_path: Path) -> None:
    environment = {"VENV": str(tmp_path / "venv"), "PYTHON": sys.executable}
    environment |= {"PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    ended = subprocess.run(
        [ROOT / "scripts/start"], env=CLEAN | environment | {"PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/simple"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    assert len(said) == 2 and "the package index cannot be reached" in said[0]
    assert "PIP_INDEX_URL" in said[1] and "conflicting" not in ended.stderr


def progress(stack: Stack) -> list[int]:
    """How many markets it said were fetched, line by line."""
    found = [re.match(r"24 h of (\d+) of 60 markets fetched", line) for line in list(stack.lines)]
    return [int(match[1]) for match in found if match]


def open_to_others(folder: Path) -> list[str]:
    """What in ``folder`` other users may read, write or enter."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the store replaces files
            if path.lstat().st_mode & 0o077:
                found.append(str(path))
    return found


def shown_processes(stack: Stack) -> set[str]:
    """The running programs that the command it printed shows."""
    line = next(line for line in stack.lines if line.startswith("Processes "))
    command = line.removeprefix("Processes ")
    shown = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=30)
    return {row.split()[0] for row in shown.stdout.splitlines() if row.split()[1] == "RUNNING"}


def shows(stack: Stack, secret: str) -> list[str]:
    """Command lines, logs and lines of output that show ``secret``."""
    commands = [" ".join(each.cmdline()) for each in stack.processes()]
    logs = [path.read_text(errors="replace") for path in (stack.folder / "log").iterdir()]
    assert len(commands) > 10 and len(logs) > 5
    return [text for text in [*commands, *logs, *stack.lines] if secret in text]


def refusal(folder: Path, **variables: str) -> str:
    """The one line with which a start on ``folder`` ends at once."""
    ports = {name: str(free_port()) for name in ("STORE_PORT", "API_PORT", "FLOWER_PORT", "SIMULATOR_PORT")}
    ended = subprocess.run(
        [sys.executable, "-m", "tracker", "start"], cwd=ROOT, env=CLEAN | ports | {"DATA_DIR": str(folder)} | variables,
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 1, ended
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr.strip()
