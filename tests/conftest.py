"""What all tests have: one real store for the whole run, emptied for each test, and an HTTP server."""

from collections.abc import Iterator

import hypothesis
import pytest
from redis import Redis

from tests.support import programs
from tests.support.http_server import HttpServer
from tests.support.servers import StoreServer
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import Store

hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "program(name): needs a program of the system, see tests/support/programs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs.require(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in programs.left_out(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    folder = tmp_path_factory.mktemp("store")
    with StoreServer(folder, "--appendfsync", "no") as server:  # a busy disk does not hold it up
        yield server


@pytest.fixture
def redis(store_server: StoreServer) -> Iterator[Redis]:
    with connect(store_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store(redis, Ring())


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server
