"""Alerts in the list and on the chart: the explanation of each, and how people acknowledge and silence it."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.support.board import Board
from tests.support.browser import eager
from tracker.alerts.rules import DEFAULT_RULES
from tracker.store.api_keys import Keys

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523}
VOLUME = "?metric=kraken:btcusd:volume"


@pytest.fixture(autouse=True)
def filled(board: Board) -> None:
    board.fill(PRICES)


def jump(board: Board) -> None:
    """Stores a volume of ten times its mean. The default rule alerts on it."""
    board.put("kraken:btcusd", 67_012.5, 130, DEFAULT_RULES)


def test_an_alert_arrives_by_itself_in_the_feed_and_on_the_chart(page: Page, board: Board) -> None:
    eager(page)
    page.goto(VOLUME)
    expect(page.get_by_role("complementary")).to_contain_text("No alerts yet.")

    jump(board)

    entry = page.locator(".feed a")
    expect(entry).to_contain_text(re.compile(r"BTCUSD volume · kraken.*[\d.]+ × its mean"), timeout=20_000)
    expect(page.locator("#alerts")).to_contain_text("1 firing")
    expect(page.locator("#alerts [role=status]")).to_contain_text("New alert: kraken:btcusd:volume")
    expect(page.get_by_role("button", name=re.compile("^Alert above-3x-1h-mean.*130 BTC$"))).to_be_visible()


def test_an_alert_opens_its_explanation_on_the_chart(page: Page, board: Board) -> None:
    jump(board)
    page.goto("?view=movers")
    page.locator(".feed a").click()

    card = page.locator(".explain")
    expect(card.get_by_role("heading")).to_contain_text(
        re.compile(r"firing.*BTCUSD volume · kraken: [\d.]+ × its mean")
    )
    expect(card).to_contain_text(re.compile(r"Value\s*130"))
    expect(card).to_contain_text(re.compile(r"Limit: 3 × mean\s*3[89]"))
    expect(card).to_contain_text(re.compile(r"Samples\s*\d\d"))
    expect(card).to_contain_text(re.compile(r"Detected after\s*\d+ s"))
    expect(card).to_contain_text("Deliveries")
    card.get_by_text("Rule above-3x-1h-mean").click()
    expect(card).to_contain_text(re.compile(r"factor\s*3"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("BTC/USD")
    expect(page.locator(".marker[aria-current]")).to_be_visible()

    page.reload()
    expect(card).to_contain_text("Deliveries")
    card.get_by_role("button", name="Close the alert").click()
    expect(card).to_be_hidden()


def test_a_marker_on_the_chart_opens_it_too(page: Page, board: Board) -> None:
    jump(board)
    page.goto(VOLUME)
    page.get_by_role("button", name=re.compile("^Alert above-3x-1h-mean")).click()
    expect(page.locator(".explain")).to_contain_text("Deliveries")


def test_an_alert_is_acknowledged_and_its_metric_silenced(page: Page, board: Board) -> None:
    jump(board)
    page.goto(VOLUME)
    page.locator(".feed a").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Comment or reason").fill("looking")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".acknowledged")).to_contain_text(re.compile("Acknowledged by Ada at .*: looking"))

    page.get_by_label("Silence for").select_option("4 h")
    page.evaluate("Date.now = () => 0")  # the browser's clock is decades behind
    with page.expect_response(re.compile("/v1/silences")) as answer:
        page.get_by_role("button", name="Silence this metric").click()
    silence = answer.value.json()
    assert answer.value.status == 201 and silence["match"] == ["kraken:btcusd:volume"]
    assert time.time() + 3.9 * 3_600 < silence["until"] < time.time() + 4.1 * 3_600


def test_a_refused_write_asks_for_a_key_which_is_kept_in_this_tab_only(page: Page, board: Board) -> None:
    key = Keys(board.store.redis).create("ada", "admin", 0)
    jump(board)
    page.goto(VOLUME)
    page.locator(".feed a").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Acknowledge").click()
    told = page.locator(".actions [role=status]")
    expect(told).to_contain_text("This needs an API key of scope admin.")
    page.get_by_label("API key").fill("dt-nonsense")
    page.get_by_role("button", name="Use key").click()
    expect(told).to_contain_text("This API key is not known, or was revoked.")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use key").click()
    expect(page.locator(".acknowledged")).to_contain_text("Acknowledged by Ada")

    assert key in page.evaluate("JSON.stringify(sessionStorage)")
    assert key not in page.evaluate("JSON.stringify(localStorage)") + page.url


def test_an_alert_that_changes_leaves_what_was_opened_typed_and_answered(page: Page, board: Board) -> None:
    eager(page)
    jump(board)
    page.goto(VOLUME)
    page.locator(".feed a").click()
    page.get_by_text("Rule above-3x-1h-mean").click()
    page.get_by_role("button", name="Silence this metric").click()
    told = page.locator(".actions [role=status]")
    expect(told).to_contain_text("Silenced for 1 h")
    page.get_by_label("Your name").fill("Ada")
    summary = page.locator("summary").filter(has_text="Rule above-3x-1h-mean")
    summary.focus()

    [alert] = board.outbox.newest(10)
    board.outbox.acknowledge(alert.id, "Bob", "mine", alert.at + 1)

    expect(page.locator(".acknowledged")).to_contain_text("Acknowledged by Bob")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_hidden()
    expect(summary).to_be_focused()
    expect(page.get_by_label("Your name")).to_have_value("Ada")
    expect(told).to_contain_text("Silenced for 1 h")
    expect(page.locator(".explain")).to_contain_text(re.compile(r"factor\s*3"), use_inner_text=True)


def test_an_alert_that_is_gone_says_so(page: Page, board: Board) -> None:
    page.goto(f"{VOLUME}&alert=above-3x-1h-mean:kraken:btcusd:volume:1700000040")
    expect(page.locator(".explain")).to_contain_text("This alert was deleted")
