"""Fixtures for tests of the dashboard: a browser, a page, and a filled store with the API over it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from tests.support.board import Board, running
from tests.support.browser import ZONE, browser
from tests.support.programs import find
from tests.support.servers import StoreServer

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    with browser(find("chromium") or "") as started:
        yield started


@pytest.fixture
def board(redis: Redis, store_server: StoreServer) -> Iterator[Board]:
    with running(Board(store_server.url)) as board:
        yield board


@pytest.fixture
def page(chrome: Browser, board: Board) -> Iterator[Page]:
    context = chrome.new_context(
        viewport={"width": 1440, "height": 900}, locale="en-US", timezone_id=ZONE, base_url=board.url
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert not errors


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    """The HTTP server does not log each request."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.program("chromium"))
