"""The ranking as a table and as a heat map, and several metrics side by side."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.board import Board

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523, "bitfinex:btcusd": 67_010.0, "bitfinex:dogbtc": 5.4e-05}


@pytest.fixture(autouse=True)
def filled(board: Board) -> None:
    board.fill(PRICES)


def listed(page: Page) -> list[str]:
    return page.locator("table.movers tbody tr").evaluate_all("(rows) => rows.map((row) => row.dataset.metric)")


def test_the_ranking_is_a_table_with_sparklines(page: Page) -> None:
    page.goto("?view=movers")

    expect(page.get_by_role("columnheader", name="Rank")).to_have_attribute("aria-sort", "ascending")
    first = page.locator("table.movers tbody tr").first
    expect(first).to_contain_text("BTC/USD kraken")
    expect(first).to_contain_text("1/4")
    expect(first.locator("svg path")).to_have_attribute("d", re.compile(r"^M0\.0 .*M"))  # two parts: a gap parts them
    assert len(listed(page)) == 4


def test_columns_sort_both_ways_and_the_address_keeps_it(page: Page) -> None:
    page.goto("?view=movers")
    page.get_by_role("button", name="Last").click()
    header = page.get_by_role("columnheader", name="Last")
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page.locator("table.movers tbody tr").last).to_contain_text("DOG/BTC")

    page.get_by_role("button", name="Last").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("table.movers tbody tr").first).to_contain_text("DOG/BTC")

    page.reload()
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Market").click()
    expect(page.locator("table.movers tbody tr").first).to_contain_text("BTC/USD bitfinex")
    assert listed(page) == sorted(f"{id}:price" for id in PRICES)


def test_filters_by_exchange_quote_and_field(page: Page) -> None:
    page.goto("?view=movers")
    page.get_by_label("Filter by exchange").select_option("kraken")
    expect(page.locator("table.movers tbody tr")).to_have_count(2)
    page.get_by_label("Filter by quote").select_option("btc")
    expect(page.locator("table.movers tbody tr")).to_have_count(1)
    page.get_by_role("button", name="volume", exact=True).click()
    expect(page.locator("table.movers tbody tr")).to_have_attribute("data-metric", "kraken:ethbtc:volume")

    page.goto("?view=movers&exchange=mtgox")
    expect(page.locator("table.movers")).to_contain_text("No metric passes these filters")


def test_a_row_opens_the_chart(page: Page) -> None:
    page.goto("?view=movers")
    page.get_by_role("link", name="DOG/BTC").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("DOG/BTC")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Movers")


def test_the_heat_map_shows_every_market_by_exchange(page: Page) -> None:
    page.goto("?view=heatmap")

    expect(page.locator(".heat h2")).to_have_text(["bitfinex", "kraken"])
    tiles = page.locator(".heat a")
    expect(tiles).to_have_count(4)
    expect(tiles.first).to_have_text(re.compile(r"[A-Z]{3}/[A-Z]{3}[+−]?\d+\.\d\d %"))
    tiles.first.click()
    expect(page.locator("canvas").first).to_be_visible()


# Grid


def test_metrics_are_put_side_by_side_and_the_browser_keeps_them(page: Page) -> None:
    for id in ("kraken:btcusd:price", "kraken:ethbtc:volume"):
        page.goto(f"?metric={id}")
        page.get_by_role("button", name="Add to grid").click()
    expect(page.locator(".grid [data-pane]")).to_have_count(2)

    page.goto("?view=grid")

    expect(page.locator(".grid [data-pane]")).to_have_count(2)
    name = re.compile(r"^kraken:btcusd:price over 24 hours, now [\d,.]+ USD, [+−]")
    expect(page.get_by_role("img", name=name)).to_be_visible()
    expect(page.locator(".grid canvas")).to_have_count(2)
    page.get_by_role("button", name="Remove kraken:btcusd:price").click()
    expect(page.locator(".grid [data-pane]")).to_have_count(1)


def test_a_grid_holds_nine_and_can_be_sent_as_a_link(page: Page, chrome: Browser, board: Board) -> None:
    ids = [f"{id}:{field}" for field in ("price", "volume") for id in PRICES] + ["kraken:btcusd:price"]
    page.goto("")
    page.evaluate("(ids) => localStorage.setItem('data-tracker.panes', JSON.stringify(ids))", ids[:8])
    page.goto("?view=grid")
    expect(page.locator(".grid canvas")).to_have_count(8)
    link = page.get_by_role("link", name="Link to these").get_attribute("href")

    other = chrome.new_context(base_url=board.url).new_page()
    other.goto(link)
    expect(other.locator(".grid canvas")).to_have_count(8)
    other.get_by_role("button", name="Keep in this browser").click()
    other.goto("?view=grid")
    expect(other.locator(".grid canvas")).to_have_count(8)
    other.context.close()

    page.goto("?view=grid&panes=" + ",".join(f"kraken:pair{number}:price" for number in range(12)))
    expect(page.locator(".grid [data-pane]")).to_have_count(9)


def test_an_empty_grid_says_how_to_fill_it(page: Page) -> None:
    page.goto("?view=grid")
    expect(page.locator(".grid")).to_contain_text("Find a metric with /, then press “Add to grid”")
