"""While the store is away, kept answers are served for a time, marked stale. Other requests soon get a problem."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.serving import cache
from api.v1 import table
from tests.support.servers import StoreServer, wait_for
from tests.support.tracked import Tracked

URL = "/v1/metrics/kraken:ethbtc:volume"
PATHS = (URL, "/v1/metrics", "/v1/markets/kraken:ethbtc", "/v1/movers")


@pytest.fixture
def lone_store(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path) as server:
        yield server


@pytest.fixture
def client(lone_store: StoreServer, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of an app that has kept an answer of each kind, and asks the store for its version at each request."""
    monkeypatch.setattr("api.PATIENCE", 1)
    monkeypatch.setattr(cache, "UNASKED", 0.0)
    monkeypatch.setattr(table, "UNASKED", 0.0)
    tracked = Tracked(lone_store.url)
    tracked.fill(["kraken:ethbtc"])
    client = create_app(tracked.settings).test_client()
    assert {client.get(path).status_code for path in PATHS} == {200}
    return client


def test_kept_answers_go_on_marked_stale_and_are_fresh_again_once_it_is_back(
    lone_store: StoreServer, client: FlaskClient
) -> None:
    before = {path: client.get(path) for path in PATHS}
    lone_store.kill()

    for path in PATHS:
        answer = client.get(path)
        assert (answer.status_code, answer.data) == (200, before[path].data)
        assert answer.headers["Warning"] == '110 - "Response is Stale"'
        assert int(answer.headers["Age"]) >= 0 and answer.headers["Cache-Control"] == "no-cache"
        assert "Warning" not in before[path].headers and "Age" not in before[path].headers
        again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and "Warning" in again.headers

    lone_store.start()
    for path in PATHS:
        wait_for(lambda path=path: "Warning" not in client.get(path).headers, f"{path} is fresh again")


def test_they_end_after_a_while(lone_store: StoreServer, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    lone_store.kill()
    assert client.get(URL).status_code == 200
    monkeypatch.setattr(cache, "STALE", 0.0)
    answer = client.get(URL)
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


def test_nobody_waits_longer_than_the_store_is_given(lone_store: StoreServer, client: FlaskClient) -> None:
    # given a store that accepts connections and does not answer
    assert lone_store.process
    lone_store.process.send_signal(signal.SIGSTOP)
    # when many clients ask at once, for kept and other answers
    paths = [*PATHS, "/healthz", "/v1/metrics?limit=7", f"{URL}?since=1", "/v1/metrics/kraken:ethbtc:price"] * 8

    def ask(path: str) -> tuple[str, int, float]:
        began = time.monotonic()
        status = client.application.test_client().get(path).status_code
        return path, status, time.monotonic() - began

    try:
        with ThreadPoolExecutor(32) as threads:
            found = list(threads.map(ask, paths))
    finally:
        lone_store.process.send_signal(signal.SIGCONT)
    # then
    assert {status for path, status, _ in found if path in PATHS} == {200}
    assert {status for path, status, _ in found if path not in PATHS} == {503}
    assert max(took for *_, took in found) < 15  # 1 s, and more on a loaded machine
    wait_for(lambda: client.get("/healthz").status_code == 200, "the API uses the store again")
