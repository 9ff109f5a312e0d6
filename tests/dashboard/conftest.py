from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from redis import Redis

from tests.dashboard.board import Board
from tests.dashboard.browser import browser
from tests.programs import need
from tests.servers import StoreServer

#: Far from UTC, so that the two cannot be taken for each other.
ZONE = "Asia/Kathmandu"


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    with browser(need("chromium")) as running:
        yield running


@pytest.fixture
def board(redis: Redis, store_server: StoreServer) -> Iterator[Board]:
    board = Board(store_server.url)
    board.start()
    yield board
    board.stop()


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
