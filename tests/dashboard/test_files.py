"""The static edition: the same page from files alone, behind Python's own http.server."""

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from api import create_app, export
from tests.support.board import Board
from tests.support.servers import StoreServer
from tracker.settings import load

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523, "bitfinex:dogbtc": 5.4e-05}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def edition(redis: Redis, store_server: StoreServer, chrome: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page of the edition. The edition is in a subfolder of its server, so addresses must be relative."""
    board = Board(store_server.url)
    board.fill(PRICES)
    export.write(create_app(load(board.variables)), tmp_path / "market")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    context = chrome.new_context(base_url=f"http://127.0.0.1:{server.server_port}/market/", locale="en-US")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    server.shutdown()
    server.server_close()
    assert all(url.startswith(f"http://127.0.0.1:{server.server_port}/market/") for url in asked)


def test_a_metric_is_found_and_charted_without_a_server(edition: Page) -> None:
    edition.goto("")
    edition.keyboard.press("/")
    edition.keyboard.type("dog price")
    expect(edition.get_by_role("option")).to_have_count(1)
    edition.keyboard.press("Enter")

    expect(edition.get_by_role("heading", level=1)).to_have_text("DOG/BTCbitfinex")
    expect(edition.locator("figcaption")).to_contain_text("1 gap of 1 h 40 min in all")
    expect(edition.locator(".stats")).to_contain_text("3/3")
    expect(edition.locator("[data-source=simulator]")).to_contain_text("ok")


def test_movers_sort_and_filter_as_with_the_api(edition: Page) -> None:
    edition.goto("?view=movers&order=-last")
    rows = edition.locator("table.movers tbody tr")
    expect(rows.first).to_contain_text("DOG/BTC")
    expect(rows.first.locator("svg path")).to_have_attribute("d", re.compile("^M"))
    edition.get_by_role("button", name="Rank").click()
    expect(rows.first).to_contain_text("BTC/USD")
    edition.get_by_label("Filter by quote").select_option("btc")
    expect(rows).to_have_count(2)


def test_the_database_answers_sql_in_the_browser(edition: Page) -> None:
    edition.goto("?view=sql")
    expect(edition.get_by_role("status").filter(has_text="The first run downloads the database")).to_be_visible()
    edition.get_by_label("SQL").fill("SELECT market, count(*) AS samples FROM series GROUP BY market ORDER BY market")
    edition.get_by_role("button", name="Run").click()

    table = edition.get_by_role("region", name="Result")
    expect(table.get_by_role("row")).to_have_count(4)
    expect(table.get_by_role("row").nth(1)).to_contain_text("bitfinex:dogbtc")
    expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile("13(40|41)"))  # a new minute may have begun

    edition.get_by_label("SQL").fill("SELECT nonsense")
    edition.keyboard.press("Control+Enter")
    expect(edition.get_by_role("status").filter(has_text="no such column: nonsense")).to_be_visible()


def test_a_link_holds_the_query(edition: Page) -> None:
    edition.goto("?view=sql&sql=SELECT+41%2B1+AS+answer")
    edition.get_by_role("button", name="Run").click()
    expect(edition.get_by_role("cell", name="42")).to_be_visible()
