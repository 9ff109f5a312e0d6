"""Text from outside splits no log line and sends no commands to a terminal: tested in real processes."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.exchanges import moved
from tests.support.exchanges.binance import Binance
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.models import Market
from tracker.plain import LONGEST, PlainRecord, plain
from tracker.store.series import Store

FORGED = "gone\n2026-01-01T00:00:00.000Z ERROR worker forged\x1b]0;title\x07\x1b[2J\u2028\u202e"
LINE = "gone\\n2026-01-01T00:00:00.000Z ERROR worker forged\\x1b]0;title\\x07\\x1b[2J\\u2028\\u202e"
#: JSON may hold these unescaped: line breaks, and a single character that begins a command to a terminal.
SAID = "gone\u20282026-01-01T00:00:00.000Z ERROR worker forged\x9b2J\x7f\u202e"


def test_unsafe_characters_are_written_out() -> None:
    assert plain(FORGED) == LINE
    assert plain("ETH-BTC: 3,5 % über 币安 🚀") == "ETH-BTC: 3,5 % über 币安 🚀"
    assert len(plain("x" * 10 * LONGEST)) < LONGEST + 50


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_the_text_it_becomes_one_line_that_can_be_printed(text: str) -> None:
    assert len(plain(text).splitlines()) <= 1
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in plain(text))
    plain(text).encode()


def formatted(message: str, *arguments: object, error: Exception | None = None) -> str:
    caught = (type(error), error, None) if error else None
    record = PlainRecord("x", logging.ERROR, __file__, 1, message, arguments, caught)
    return logging.Formatter("[%(levelname)s] %(message)s").format(record)


def test_a_log_line_stays_one_and_a_traceback_is_indented() -> None:
    assert formatted("%s failed", FORGED) == f"[ERROR] {LINE} failed"
    first, *traced = formatted("failed", error=ValueError(FORGED)).split("\n")
    assert first == "[ERROR] failed"
    assert len(traced) == 2 and all(line.startswith("  ") and plain(line) == line for line in traced)


@pytest.fixture
def worker_log(store_server: StoreServer, store: Store, tmp_path: Path) -> Path:
    """The log of a worker that gets SAID from its exchange."""
    log = tmp_path / "log"
    with Binance({("ETH", "BTC"): moved("ethbtc")}) as exchange:
        exchange.refuses = (400, {}, json.dumps({"code": -1100, "msg": SAID}, ensure_ascii=False).encode())
        environment = CLEAN | {
            "REDIS_URL": store_server.url, "SOURCES": "binance", "EXCHANGE_URL": exchange.url, "INTERVAL": "3600",
        }  # fmt: skip
        store.watch("binance", [Market("binance:ethbtc", "eth", "btc", "ETHBTC")])
        fetch = "from tracker.tasks import fetch; fetch.delay('binance', ['binance:ethbtc'])"
        subprocess.run([sys.executable, "-c", fetch], cwd=ROOT, env=environment, check=True, timeout=60)
        command = [sys.executable, "-m", "tracker", "worker", "fetch", "--concurrency", "1"]
        with log.open("w") as file, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file) as worker:
            try:
                wait_for(lambda: "nothing stored of" in log.read_text(), "the worker says why it stored nothing", 60)
            finally:
                worker.terminate()
                worker.wait(30)
    return log


@pytest.mark.slow
def test_what_an_exchange_says_splits_no_line_of_a_workers_log_nor_of_the_report(
    worker_log: Path, store_server: StoreServer
) -> None:
    log = worker_log.read_text()
    assert "gone\\u20282026-01-01T00:00:00.000Z ERROR worker forged\\x9b2J\\x7f\\u202e" in log
    assert not any(line.lstrip().startswith("2026-01-01") for line in log.splitlines())
    environment = CLEAN | {"REDIS_URL": store_server.url, "SOURCES": "binance"}
    command = [sys.executable, "-m", "tracker", "sources"]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "forged\\x9b2J" in said.stdout and "\x9b" not in said.stdout + log
    assert not any(line.startswith("2026-01-01") for line in said.stdout.splitlines())


@pytest.mark.slow
def test_what_stops_a_command_is_said_in_one_line(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules."a\\n\\u001b[31mb"]\nkind = "ratio"\n')
    environment = CLEAN | {"RULES": str(rules), "STORE_PORT": str(free_port())}
    for command in (["rules", "check"], ["worker"]):
        words = [sys.executable, "-m", "tracker", *command]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "\x1b" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
