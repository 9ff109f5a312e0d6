"""Finding a metric: by typing, by the keyboard alone, among the starred and the recent ones."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.board import Board

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523, "bitfinex:btcusd": 67_010.0, "bitfinex:dogbtc": 5.4e-05}


@pytest.fixture(autouse=True)
def filled(board: Board) -> None:
    board.fill(PRICES)


def chosen(page: Page) -> str:
    """The id of the metric that Enter would choose, as screen readers get it."""
    id = page.get_by_role("combobox", name="Find a metric").get_attribute("aria-activedescendant")
    return id.removeprefix("option-")


def test_a_metric_is_found_and_opened_by_the_keyboard_alone(page: Page) -> None:
    page.goto("")
    expect(page.get_by_role("heading", level=1)).to_be_visible()

    page.keyboard.press("/")
    box = page.get_by_role("combobox", name="Find a metric")
    expect(box).to_be_focused()
    box.fill("eth btc")  # all at once: an answer to half of it would change the chosen option
    expect(page.get_by_role("option")).to_have_count(2)
    expect(box).to_have_attribute("aria-expanded", "true")
    assert chosen(page) == "kraken:ethbtc:price"
    page.keyboard.press("ArrowDown")
    assert chosen(page) == "kraken:ethbtc:volume"
    page.keyboard.press("ArrowDown")
    assert chosen(page) == "kraken:ethbtc:price"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("ETH/BTCkraken")
    expect(page).to_have_url(re.compile("metric=kraken:ethbtc:volume"))
    expect(box).to_have_attribute("aria-expanded", "false")


def test_a_pair_may_be_written_with_a_slash(page: Page) -> None:
    page.goto("")
    page.keyboard.press("/")
    page.keyboard.type("BTC/USD")
    expect(page.get_by_role("option")).to_have_count(4)


def test_what_is_not_there_is_told_with_what_to_try(page: Page) -> None:
    page.goto("")
    page.get_by_role("combobox", name="Find a metric").fill("tulip")
    expect(page.locator(".popup")).to_contain_text("No metric matches “tulip”. Try an exchange, a pair or a currency.")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator(".popup")).to_be_hidden()


def test_starred_and_recent_metrics_come_first(page: Page) -> None:
    page.goto("?metric=kraken:ethbtc:price")
    page.get_by_role("button", name="Star kraken:ethbtc:price").click()
    page.goto("?metric=bitfinex:dogbtc:price")
    expect(page.get_by_role("heading", level=1)).to_contain_text("DOG/BTC")

    page.keyboard.press("/")

    options = page.get_by_role("option")
    expect(options).to_have_count(8)
    expect(options.nth(0)).to_contain_text("★ ETH/BTC price")
    expect(options.nth(1)).to_contain_text("DOG/BTC price")
    expect(page.locator(".popup .group")).to_have_text(["Starred", "Recent", "Most volatile"])


def test_without_a_metric_in_the_address_the_last_one_is_shown_or_else_the_most_volatile_price(page: Page) -> None:
    page.goto("")
    expect(page.get_by_role("heading", level=1)).to_contain_text("BTC/USD")
    page.goto("?metric=bitfinex:dogbtc:price")
    expect(page.get_by_role("heading", level=1)).to_contain_text("DOG/BTC")
    page.goto("")
    expect(page.get_by_role("heading", level=1)).to_contain_text("DOG/BTC")
