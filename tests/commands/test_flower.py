"""Who may see Flower, which can stop workers: real processes, as ``python -m tracker flower`` starts them."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT

pytestmark = pytest.mark.slow  # starts processes of its own


@contextmanager
def flower(store: StoreServer, folder: Path, **variables: str) -> Iterator[tuple[psutil.Process, int]]:
    """The process and its port. What it says goes to ``folder / "said"``."""
    port = free_port()
    own = {"REDIS_URL": store.url, "FLOWER_PORT": str(port), "DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "tracker", "flower"]
    with (folder / "said").open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=CLEAN | own | variables, stderr=file, stdout=file)
        try:
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait(30)


def status(host: str, port: int, login: tuple[str, str] | None = None) -> int:
    """0 while nobody listens there."""
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"http://{host}:{port}/workers", auth=login, timeout=20).status_code
    return 0


def test_a_public_address_does_not_open_flower(store_server: StoreServer, tmp_path: Path) -> None:
    with flower(store_server, tmp_path, BIND_ADDRESS="0.0.0.0") as (_, port):
        wait_for(lambda: status("127.0.0.1", port) == 200, "Flower answers this machine")
        with socket.socket() as other:  # an address of 0.0.0.0 and not 127.0.0.1
            assert other.connect_ex(("127.0.0.2", port)) != 0
    first = (tmp_path / "said").read_text().splitlines()[0]
    assert first == "flower: for this machine only; FLOWER_BASIC_AUTH=user:password opens it to others"


def test_flower_asks_for_the_password_that_a_file_has(store_server: StoreServer, tmp_path: Path) -> None:
    (tmp_path / "login").write_text("me:hunter2\n")
    with flower(store_server, tmp_path, FLOWER_BASIC_AUTH_FILE=str(tmp_path / "login")) as (process, port):
        wait_for(lambda: status("127.0.0.1", port), "Flower answers")
        assert status("127.0.0.1", port) == status("127.0.0.1", port, ("me", "hunter3")) == 401
        assert status("127.0.0.1", port, ("me", "hunter2")) == 200
        assert "hunter2" not in " ".join(process.cmdline())
    assert "hunter2" not in (tmp_path / "said").read_text()


def test_an_empty_login_is_none(store_server: StoreServer, tmp_path: Path) -> None:
    with flower(store_server, tmp_path, FLOWER_BASIC_AUTH="") as (_, port):
        wait_for(lambda: status("127.0.0.1", port) == 200, "Flower answers")
