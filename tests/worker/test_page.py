"""The page of workers and beats: what it answers, and whom it does not wait for."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.servers import free_port
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.worker.page import Server


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    settings = load({"METRICS_PORT": str(free_port()), "DATA_DIR": str(tmp_path)})
    with Server(settings) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{settings.metrics_port}"
        server.shutdown()


def test_it_answers_get_of_one_path(page: str) -> None:
    answer = requests.get(f"{page}/metrics", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "tracker_build_info{" in answer.text
    assert requests.get(f"{page}/", timeout=10).status_code == 404
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        assert requests.request(method, f"{page}/metrics", timeout=10).status_code == 501


@pytest.mark.slow  # the page gives a client three seconds
def test_it_does_not_wait_for_a_client_that_is_silent(page: str) -> None:
    address = page.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert requests.get(f"{page}/metrics", timeout=10).status_code == 200
        silent.settimeout(10)
        assert silent.recv(1) == b""


def test_others_reach_it_only_if_that_is_allowed() -> None:
    with pytest.raises(SettingsError, match=r"METRICS_BIND=0\.0\.0\.0: expected 127\.0\.0\.1, or METRICS_OPEN=yes"):
        load({"METRICS_BIND": "0.0.0.0"})
    assert load({"METRICS_BIND": "0.0.0.0", "METRICS_OPEN": "yes"}).metrics_bind == "0.0.0.0"
