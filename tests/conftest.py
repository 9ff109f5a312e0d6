"""Fixtures of all tests: one real store for the whole run, emptied for each test, and an HTTP server.

Tests of whole stacks and of the browser are marked ``slow``, like single tests that start parts of the tracker.
"""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from redis import Redis

from tests.support import programs
from tests.support.http_server import HttpServer
from tests.support.servers import StoreServer
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import Store

#: Folders whose tests are all slow.
SLOW = [Path(__file__).parent / name for name in ("system", "dashboard")]

hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "program(name): needs a program of the system, see tests/support/programs.py")
    config.addinivalue_line("markers", "slow: starts parts of the tracker; ./scripts/run-tests.sh fast leaves it out")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in SLOW):
            item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs.require(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = programs.left_out(terminalreporter.stats.get("skipped", []))
    if terminalreporter.config.option.markexpr == "not slow":
        lines.append("LEFT OUT the slow tests: whole stacks, processes, the browser")
    for line in lines:
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def shared_store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    folder = tmp_path_factory.mktemp("store")
    with StoreServer(folder, "--appendfsync", "no") as server:  # a busy disk does not hold it up
        yield server


@pytest.fixture
def store_server(shared_store_server: StoreServer) -> StoreServer:
    """A store without data: that of the test before is gone."""
    with connect(shared_store_server.url) as client:
        client.flushall()
    return shared_store_server


@pytest.fixture
def redis(store_server: StoreServer) -> Iterator[Redis]:
    with connect(store_server.url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store(redis, Ring())


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server
