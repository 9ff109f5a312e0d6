"""What commands say when they cannot do what they were asked to."""

import subprocess
import sys

import pytest

from tests.servers import free_port
from tests.system.stack import CLEAN, ROOT


@pytest.mark.parametrize("words", ["sources", "keys list", "keys create me", "deliveries list"])
def test_a_store_that_is_away_is_said_with_what_starts_it(words: str) -> None:
    command = [sys.executable, "-m", "tracker", *words.split()]
    port = free_port()
    done = subprocess.run(
        command, cwd=ROOT, env=CLEAN | {"STORE_PORT": str(port)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{words.split()[0]}: the store does not answer as it should: Error 111 connecting to 127.0.0.1:{port}. "
        "Connection refused (./scripts/start runs everything, ./scripts/start-db.sh a store)\n"
    )
