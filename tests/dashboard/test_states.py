"""First run, lost connection, API key, themes, screen widths, touch, the keyboard, and accessibility checks by axe."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from tests.support.board import Board, running
from tests.support.browser import eager
from tests.support.servers import StoreServer
from tracker.store.api_keys import Keys

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523, "bitfinex:dogbtc": 5.4e-05}
BITCOIN = "?metric=kraken:btcusd:price"
VIEWS = [BITCOIN, "?view=movers", "?view=heatmap", "?view=grid&panes=kraken:btcusd:price,kraken:ethbtc:volume"]

#: Matches once a view shows its numbers.
SHOWN = "#view canvas, #view td.sparks, #view .heat a"


def test_the_first_run_shows_how_far_it_is_and_opens_by_itself(page: Page, board: Board) -> None:
    page.goto("")
    expect(page.get_by_role("heading", name="Fetching the first 24 hours")).to_be_visible()
    expect(page.locator("#first")).to_contain_text("Waiting for the first catalogue")
    expect(page.locator("#first")).to_contain_text("check that a worker and a beat run")
    expect(page.locator("#sources")).to_be_hidden()  # no empty box

    board.store.failed("simulator", 1_700_000_000, "timeout", "too slow")
    expect(page.locator("#first")).to_contain_text("simulator failed", timeout=15_000)

    board.fill(dict(list(PRICES.items())[:1]))
    board.watch(PRICES)
    expect(page.locator("#first")).to_contain_text("2 of 6 metrics have their samples and ranks", timeout=15_000)
    assert page.get_by_role("progressbar").evaluate("(bar) => bar.position") == pytest.approx(1 / 3)

    board.fill(PRICES)
    expect(page.locator("canvas").first).to_be_visible(timeout=15_000)
    expect(page.locator("#first")).to_be_hidden()


def test_a_lost_connection_is_shown_and_heals_when_the_api_is_back(
    page: Page, redis: Redis, store_server: StoreServer
) -> None:
    with running(Board(store_server.url, alone=True)) as board:
        is_lost_and_heals(page, board)


def is_lost_and_heals(page: Page, board: Board) -> None:
    board.fill(PRICES)
    page.goto(board.url + BITCOIN)
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")

    board.stop()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Connection lost.", timeout=90_000)
    expect(notice).to_contain_text("The server cannot be reached. No news since")
    expect(notice).to_contain_text("python -m tracker status")
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")  # the last numbers stay visible

    board.start()
    board.put("kraken:btcusd", 71_234.5, 9)
    expect(notice).to_be_hidden(timeout=30_000)
    expect(page.locator("[data-readout=price] .value")).to_have_text("71,234.5 USD", timeout=90_000)


def test_what_is_shown_while_the_store_is_away_is_marked(chrome: Browser, tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, running(Board(server.url, alone=True)) as board:
        board.fill(PRICES)
        context = chrome.new_context(base_url=board.url)
        page = context.new_page()
        eager(page)
        page.goto(BITCOIN)
        expect(page.locator("[data-readout=price]")).to_contain_text("USD")

        for _ in range(6):  # after some answers the API's cache has the series
            with page.expect_response(re.compile(r"markets/.*since=")):
                pass
        server.kill()
        stale = page.get_by_role("status").filter(has_text="The store does not answer: the numbers shown are")
        expect(stale).to_be_visible(timeout=90_000)

        server.start()
        expect(stale).to_be_hidden(timeout=90_000)
        page.unroute_all(behavior="ignoreErrors")
        context.close()


def test_where_reading_takes_a_key_the_page_asks_for_it(page: Page, board: Board) -> None:
    board.fill(PRICES)
    key = Keys(board.store.redis).create("reader", "read", 0)
    board.stop()
    board.variables["API_READS"] = "key"
    board.start()
    page.goto(BITCOIN)
    expect(page.locator("#first")).to_contain_text("This needs an API key.")
    page.get_by_label("API key").fill("dt-nonsense")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#first")).to_contain_text("This API key is not known, or was revoked.")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(chrome: Browser, board: Board, scheme: str) -> None:
    board.fill(PRICES)
    context = chrome.new_context(base_url=board.url, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for view in VIEWS:
        page.goto(view)
        expect(page.locator(SHOWN).first).to_be_visible()
        assert violations(page) == [], view

    page.get_by_role("combobox").focus()
    expect(page.get_by_role("option").first).to_be_visible()
    assert violations(page) == []
    context.close()


def violations(page: Page) -> list[tuple[str, list[str]]]:
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def test_the_theme_follows_the_system_or_the_button(chrome: Browser, board: Board) -> None:
    board.fill(PRICES)
    context = chrome.new_context(base_url=board.url, color_scheme="dark")
    page = context.new_page()
    page.goto(BITCOIN)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Theme: auto").click()
    light = page.evaluate(background)
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    kept = page.evaluate(background)
    context.close()

    assert dark == "rgb(13, 17, 22)"
    assert light == kept == "rgb(245, 246, 248)"


@pytest.mark.parametrize("width", [320, 390, 768, 2560])
def test_nothing_sticks_out_at_any_width(page: Page, board: Board, width: int) -> None:
    board.fill(PRICES)
    page.set_viewport_size({"width": width, "height": 800})
    for view in VIEWS:
        page.goto(view)
        expect(page.locator(SHOWN).first).to_be_visible()
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sideways == 0, view


def test_a_finger_pans_what_is_zoomed(chrome: Browser, board: Board) -> None:
    board.fill(PRICES)
    context = chrome.new_context(base_url=board.url, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{BITCOIN}&range=4h")
    expect(page.locator("figcaption")).to_contain_text("of 241 slots")
    box = page.locator("[data-pane=price] .u-over").bounding_box()
    x, y = box["x"] + 40, box["y"] + 60
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *points: float) -> None:
        spots = [{"x": each, "y": y, "id": number} for number, each in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + 30 * step)
    touch("touchEnd")

    expect(page).to_have_url(re.compile("from="))
    expect(page.locator("figcaption")).to_contain_text("of 241 slots")
    context.close()


def test_the_whole_page_works_by_the_keyboard(page: Page, board: Board) -> None:
    board.fill(PRICES)
    page.goto(BITCOIN)
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-roledescription')") == "chart":
            break
    chart = page.get_by_role("group", name="BTC/USD on kraken, the last 24 hours")
    expect(chart).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    newest = page.locator("[data-readout=price] time").inner_text()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-readout=price] time")).not_to_have_text(newest)
    expect(page.get_by_role("status").filter(has_text=re.compile("USD$"))).to_have_count(1)
    page.keyboard.press("+")
    expect(page.locator("figcaption")).not_to_contain_text("of 1,441 slots")
    page.keyboard.press("Home")
    expect(page.locator("figcaption")).to_contain_text("of 1,441 slots")
