"""The list of sources: state, newest sample and what is wrong."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.board import Board

PRICES = {"kraken:btcusd": 67_012.5}
BITCOIN = "?metric=kraken:btcusd:price"
#: An entry of GET /v1/sources for a source that is blocked.
DEGRADED = {
    "name": "kraken",
    "kind": "exchange",
    "state": "blocked",
    "reason": "the exchange refuses this address (451)",
    "interval": 60,
    "markets": {"tracked": 1200, "stale": 37, "of_catalogue": 1300},
    "newest_slot": 1_700_000_000,
    "last_success": 1_700_000_030,
    "last_error": "HTTP 451",
    "last_error_at": 1_700_000_090,
    "budget": {"limit": 60, "period": 60, "used": 55, "deferred": 4},
    "breaker": {"state": "open", "failures": 5, "until": 1_700_000_300},
    "clock_skew": 0.2,
    "refused": {"negative": 3},
}


@pytest.fixture(autouse=True)
def filled(board: Board) -> None:
    board.fill(PRICES)


def test_each_source_is_listed_with_its_state(page: Page) -> None:
    page.goto(BITCOIN)

    source = page.locator("[data-source=simulator]")
    expect(source.locator(".state")).to_have_text("ok")
    expect(source).to_contain_text(re.compile(r"(last answer|newest sample) \d+ (s|min) ago"))


def test_what_is_wrong_with_a_source_is_told(page: Page) -> None:
    page.route(re.compile("/v1/sources"), lambda route: route.fulfill(json={"sources": [DEGRADED]}))
    page.goto(BITCOIN)

    source = page.locator("[data-source=kraken]")
    for text in (
        "blocked",
        "the exchange refuses this address (451)",
        re.compile(r"newest sample \d+ d ago"),
        "1,200 markets, 37 stale",
        "55 of 60 requests per 60 s, 4 markets wait",
        "HTTP 451",
        "refused: negative 3",
    ):
        expect(source).to_contain_text(text)
    expect(source.get_by_role("meter")).to_have_attribute("value", "55")
