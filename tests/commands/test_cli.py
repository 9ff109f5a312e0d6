"""What commands say when they cannot do what they were asked to, or do more than that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.served import served
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.commands.cli import parser


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
def test_a_flags_number_is_judged_as_that_of_a_variable(
    words: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(words.split())
    assert expected in capsys.readouterr().err


@pytest.mark.slow
def test_a_second_api_at_a_port_says_that_it_is_one(store_server: StoreServer, tmp_path: Path) -> None:
    with served(store_server.url) as url, (said := tmp_path / "said").open("w") as file:
        port = url.rpartition(":")[2]
        environment = CLEAN | {"REDIS_URL": store_server.url, "API_PORT": port, "LOG_LEVEL": "warning"}
        second = subprocess.Popen([sys.executable, "-m", "tracker", "api"], cwd=ROOT, env=environment, stderr=file)
        try:
            wait_for(lambda: "two share requests" in said.read_text(), "it says so")
        finally:
            second.terminate()
            second.wait(30)
    assert said.read_text() == f"API_PORT={port}: an API serves there already, the two share requests\n"
