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


def test_a_public_address_without_a_login_is_refused(store_server: StoreServer, tmp_path: Path) -> None:
    with flower(store_server, tmp_path, BIND_ADDRESS="0.0.0.0") as (process, _):
        assert process.wait(30) == 1
    [line] = (tmp_path / "said").read_text().splitlines()
    assert line.startswith("flower: BIND_ADDRESS=0.0.0.0: expected a login before others can reach Flower")


def test_flower_may_stay_on_this_machine_while_others_reach_the_api(store_server: StoreServer, tmp_path: Path) -> None:
    with flower(store_server, tmp_path, BIND_ADDRESS="0.0.0.0", FLOWER_BIND="127.0.0.1") as (_, port):
        wait_for(lambda: status("127.0.0.1", port) == 200, "Flower answers this machine")
        with socket.socket() as other:  # an address of 0.0.0.0 and not 127.0.0.1
            assert other.connect_ex(("127.0.0.2", port)) != 0


def test_nobody_gives_orders_without_a_login(store_server: StoreServer, tmp_path: Path) -> None:
    with flower(store_server, tmp_path) as (_, port):
        wait_for(lambda: status("127.0.0.1", port) == 200, "Flower answers")
        for order in ("worker/shutdown/any", "task/send-task/tracker.tasks.sweep", "task/revoke/any"):
            assert requests.post(f"http://127.0.0.1:{port}/api/{order}", json={}, timeout=20).status_code == 401, order
        assert requests.get(f"http://127.0.0.1:{port}/api/tasks", timeout=20).status_code == 401


def test_one_logs_in_through_a_provider(store_server: StoreServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    variables = {
        "FLOWER_AUTH": "me@example.com", "FLOWER_AUTH_PROVIDER": "okta", "FLOWER_OAUTH2_KEY": "tracker",
        "FLOWER_OAUTH2_SECRET_FILE": str(tmp_path / "secret"), "FLOWER_URL_PREFIX": "/flower",
        "FLOWER_OAUTH2_REDIRECT_URI": "https://flower.example/flower/login",
        "FLOWER_OAUTH2_OKTA_BASE_URL": "https://okta.example/oauth2",
    }  # fmt: skip
    with flower(store_server, tmp_path, **variables) as (process, port):

        def sent_to(path: str) -> str:
            with contextlib.suppress(requests.ConnectionError):
                answer = requests.get(f"http://127.0.0.1:{port}{path}", allow_redirects=False, timeout=20)
                return answer.headers.get("Location", "")
            return ""

        for page in ("/flower/workers", "/flower/api/workers"):
            login = wait_for(lambda page=page: sent_to(page), f"{page} asks for a login")
            assert login.startswith("/flower/login?")
        provider = sent_to(login)
        assert provider.startswith("https://okta.example/oauth2/v1/authorize?")
        assert "client_id=tracker" in provider and "redirect_uri=https%3A%2F%2Fflower.example" in provider
        assert "hunter2" not in provider + " ".join(process.cmdline()) + (tmp_path / "said").read_text()


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
