"""What commands say when they cannot do what they were asked to, or do more than that."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner
from redis import Redis

from tests.support.served import served
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.commands.cli import root


@pytest.mark.slow
@pytest.mark.parametrize("words", ["sources", "keys list", "keys create me", "deliveries list", "refused list"])
def test_a_store_that_is_away_is_said_with_what_starts_it(words: str) -> None:
    command = [sys.executable, "-m", "tracker", *words.split()]
    port = free_port()
    done = subprocess.run(
        command, cwd=ROOT, env=CLEAN | {"STORE_PORT": str(port)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"{words.split()[0]}: the store does not answer as it should: Error \d+ connecting to 127.0.0.1:{port}. "
        r"Connection refused \(./scripts/start runs everything, ./scripts/start-db.sh a store\)\n",
        done.stderr,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("worker --concurrency \u0663", "expected a whole number from 1 to 256"),
        ("worker --concurrency 1_0", "expected a whole number from 1 to 256"),
        ("export DIR --every nan", "expected a number from 0.1 to 86400"),
        ("export DIR --every 1_0", "expected a number from 0.1 to 86400"),
    ],
)
def test_a_flags_number_is_judged_as_that_of_a_variable(words: str, expected: str) -> None:
    ended = CliRunner().invoke(root, words.split())
    assert ended.exit_code == 2 and expected in ended.stderr


@pytest.mark.slow
def test_a_second_api_at_a_port_says_that_it_is_one(store_server: StoreServer, tmp_path: Path) -> None:
    with served(store_server.url) as url, (said := tmp_path / "said").open("w") as file:
        port = url.rpartition(":")[2]
        environment = CLEAN | {"REDIS_URL": store_server.url, "API_PORT": port, "LOG_LEVEL": "warning"}
        second = subprocess.Popen([sys.executable, "-m", "tracker", "api"], cwd=ROOT, env=environment, stdout=file)
        try:
            wait_for(lambda: "two share requests" in said.read_text(), "it says so")
        finally:
            second.terminate()
            second.wait(30)
    [line] = said.read_text().splitlines()
    assert line.endswith(f"WARNING api API_PORT={port}: an API serves there already, the two share requests")


@pytest.mark.parametrize("words", ["", "keys", "rules", "channels", "alerts", "deliveries", "refused"])
def test_a_group_without_a_command_shows_its_help_and_is_bad_usage(words: str) -> None:
    ended = CliRunner().invoke(root, words.split())
    assert ended.exit_code == 2 and "Commands:" in ended.output


def every_command(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, each in getattr(command, "commands", {}).items():
        yield from every_command(each, *words, name)


@pytest.mark.parametrize("words", [*every_command(root)], ids=" ".join)
def test_the_help_of_every_command_fits_a_terminal(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(root, [*words, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80 and "..." not in shown.output.partition("\n")[2]


def test_help_loads_no_part() -> None:
    told = [sys.executable, "-X", "importtime", "-m", "tracker", "--help"]
    done = subprocess.run(told, cwd=ROOT, env=CLEAN, capture_output=True, text=True, check=True, timeout=60)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tracker.commands.cli" in loaded
    assert not loaded & {"celery", "flask", "numpy", "requests", "redis", "ccxt"}


def test_ctrl_c_ends_a_command_quietly_with_status_130(store_server: StoreServer, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tracker", "export", str(tmp_path / "out"), "--every", "60"]
    environment = CLEAN | {"REDIS_URL": store_server.url, "DATA_DIR": str(tmp_path)}
    with (said := tmp_path / "said").open("w") as file:
        exporting = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=file, stderr=file)
        try:
            wait_for(lambda: (tmp_path / "out" / "index.html").exists(), "it exports")
            exporting.send_signal(signal.SIGINT)
            assert exporting.wait(30) == 130
        finally:
            exporting.kill()
            exporting.wait()
    assert "Traceback" not in said.read_text() and "Aborted" not in said.read_text()


def test_a_refused_message_sends_nothing_to_the_terminal(store_server: StoreServer, redis: Redis) -> None:
    redis.lpush("{dt1}:refused", orjson.dumps({"at": 7, "queue": "q", "reason": "r\u202e", "text": "\x1b[2J\x9b"}))
    words = [sys.executable, "-m", "tracker", "refused", "list"]
    environment = CLEAN | {"REDIS_URL": store_server.url}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "\\x1b[2J\\x9b" in done.stdout and "r\\u202e" in done.stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(done.stdout)
