"""The chart of a metric: its numbers and texts, how it zooms, how it stays up to date."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.board import GAP, Board
from tests.support.browser import ZONE, eager

PRICES = {"kraken:btcusd": 67_012.5, "kraken:ethbtc": 0.0523, "bitfinex:dogbtc": 5.4e-05}
BITCOIN = "?metric=kraken:btcusd:price"
#: A request of a page that stays up to date.
SINCE = re.compile(r"markets/kraken:btcusd\?since=\d+")


@pytest.fixture
def filled(board: Board) -> Board:
    board.fill(PRICES)
    return board


def stat(page: Page, name: str) -> str:
    return page.locator(".stats > div").filter(has=page.get_by_text(name, exact=True)).inner_text()


def test_a_metric_is_shown_with_its_numbers_and_what_its_rank_means(page: Page, filled: Board) -> None:
    page.goto(BITCOIN)

    expect(page.get_by_role("heading", level=1)).to_have_text("BTC/USDkraken")
    assert "1/3" in stat(page, "Rank") and "most volatile of 3 prices" in stat(page, "Rank")
    assert re.search(r"\d{2},\d{3}\.\d\s+USD at \d\d:\d\d", stat(page, "Last"))
    assert re.search(r"[+−]\d+\.\d\d %", stat(page, "Change 24 h"))
    expect(page.get_by_role("group", name="BTC/USD on kraken, the last 24 hours")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(2)


def test_gaps_are_told_and_drawn_as_gaps(page: Page, filled: Board) -> None:
    page.goto(BITCOIN)

    missing = GAP.stop - GAP.start
    expect(page.locator("figcaption")).to_contain_text("1 gap of 1 h 40 min in all")
    assert missing == 100
    # The line's colour is absent in the middle of the gap, and present beside it.
    assert painted(page, 650 / 1440) == 0
    assert painted(page, 300 / 1440) > 0


def painted(page: Page, share: float) -> int:
    """Pixels of the price line's colour in one column of its canvas: at ``share`` (0 to 1) of the plot's width."""
    return page.evaluate(
        """(share) => {
          const canvas = document.querySelector("[data-pane=price] canvas");
          const over = document.querySelector("[data-pane=price] .u-over");
          const scale = canvas.width / canvas.clientWidth;
          const x = Math.round((over.offsetLeft + share * over.clientWidth) * scale);
          const {data} = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height);
          const wanted = getComputedStyle(document.documentElement).getPropertyValue("--line").match(/\\w\\w/g)
            .map((each) => parseInt(each, 16));
          let found = 0;
          for (let i = 0; i < data.length; i += 4)
            if (wanted.every((part, at) => Math.abs(part - data[i + at]) < 60) && data[i + 3] > 100) found++;
          return found;
        }""",
        share,
    )


def test_small_numbers_are_as_readable_as_large_ones(page: Page, filled: Board) -> None:
    page.goto("?metric=bitfinex:dogbtc:price")

    assert re.search(r"0\.0000\d+\s+BTC", stat(page, "Last"))
    assert "e-" not in page.locator(".stats").inner_text()


def test_the_crosshair_tells_exact_value_local_time_and_utc(page: Page, filled: Board) -> None:
    slot = filled.put("kraken:btcusd", 66_999.123456, 7.5)
    page.goto(BITCOIN)
    readout = page.locator("[data-readout=price]")
    expect(readout).to_contain_text("66,999.123456 USD")

    over = page.locator("[data-pane=price] .u-over")
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 40)

    expect(readout).not_to_contain_text("66,999.123456")
    local, utc = re.search(r"(\d\d:\d\d) \((\d\d:\d\d) UTC\)", readout.inner_text()).groups()
    assert minutes(local) == (minutes(utc) + 5 * 60 + 45) % (24 * 60), ZONE
    expected = (slot - 1440 * 60 + 1440 * 60 / 4) // 60 % (24 * 60)
    assert abs(minutes(utc) - expected) <= 5 or abs(minutes(utc) - expected) >= 24 * 60 - 5
    expect(page.locator("[data-readout=volume]")).to_contain_text(f"({utc} UTC)")


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def test_baseline_and_limit_of_the_rule_are_told(page: Page, filled: Board) -> None:
    page.goto("?metric=kraken:ethbtc:volume")

    readout = page.locator("[data-readout=volume]")
    expect(readout).to_contain_text("1 h mean")
    text = readout.inner_text()
    mean = float(re.search(r"1 h mean ([\d.]+)", text)[1])
    limit = float(re.search(r"3 × mean ([\d.]+)", text)[1])
    assert 22 < mean < 24 and limit == pytest.approx(3 * mean, rel=1e-3)


def test_the_address_holds_the_view(page: Page, filled: Board, chrome: Browser) -> None:
    page.goto(BITCOIN)
    page.get_by_role("button", name="volume", exact=True).click()
    page.get_by_role("button", name="4h", exact=True).click()
    expect(page.locator("figcaption")).to_contain_text("of 241 slots")

    other = chrome.new_context(base_url=filled.url).new_page()
    other.goto(page.url)

    expect(other.get_by_role("button", name="4h", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(other.get_by_role("button", name="volume", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(other.locator("figcaption")).to_contain_text("of 241 slots")
    other.context.close()
    page.go_back()
    expect(page.locator("figcaption")).to_contain_text("of 1,441 slots")


def test_dragging_zooms_wheel_zooms_and_a_double_click_shows_all(page: Page, filled: Board) -> None:
    page.goto(BITCOIN)
    caption = page.locator("figcaption")
    expect(caption).to_contain_text("of 1,441 slots")
    box = page.locator("[data-pane=price] .u-over").bounding_box()
    at = [(box["x"] + box["width"] * share, box["y"] + 50) for share in (0.5, 0.75)]

    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()
    expect(caption).to_contain_text(re.compile("of 3[56]\\d slots"))
    assert "from=" in page.url and "to=" in page.url

    page.mouse.wheel(0, -100)
    expect(caption).to_contain_text(re.compile("of 2[89]\\d slots"))

    before = page.url
    page.keyboard.down("Shift")
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert page.url != before
    expect(caption).to_contain_text(re.compile("of 2[89]\\d slots"))

    page.mouse.dblclick(*at[0])
    expect(caption).to_contain_text("of 1,441 slots")


def test_a_new_sample_appears_by_itself(page: Page, filled: Board) -> None:
    eager(page)
    page.goto(BITCOIN)
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")

    filled.put("kraken:btcusd", 70_123.25, 7.5)

    expect(page.locator("[data-readout=price] .value")).to_have_text("70,123.25 USD", timeout=20_000)
    assert "70,123.3" in stat(page, "Last")
    expect(page).to_have_title(re.compile("^70.12K USD"))


def test_what_is_new_is_asked_for_and_nothing_more(page: Page, filled: Board) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    eager(page)
    page.goto(BITCOIN)
    with page.expect_request(SINCE):
        pass

    assert len([url for url in asked if url.endswith("markets/kraken:btcusd")]) == 1
    assert all(url.startswith(filled.url) for url in asked)


def test_a_hidden_tab_asks_for_nothing(page: Page, filled: Board) -> None:
    eager(page)
    page.goto(BITCOIN)
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")
    page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", {get: () => window.away, configurable: true});
          window.away = true;
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    seen = page.context.new_page()
    eager(seen)
    with seen.expect_request(SINCE):
        seen.goto(BITCOIN)
    with seen.expect_request(SINCE):
        pass
    assert not asked

    with page.expect_request(re.compile("/v1/markets/")):
        page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")


def test_values_can_be_read_as_a_table(page: Page, filled: Board) -> None:
    filled.put("kraken:btcusd", 66_999.123456, 7.5)
    page.goto(BITCOIN)
    page.get_by_text("Values as a table").click()

    row = page.locator(".values tbody tr").filter(has_text="66,999.123456 USD")
    expect(row).to_contain_text("7.5 BTC")
    expect(page.locator(".values tbody tr")).to_have_count(120)


def test_times_can_be_utc(page: Page, filled: Board) -> None:
    page.goto(BITCOIN)
    page.get_by_role("button", name="Times are local").click()

    expect(page.locator("[data-readout=price] time")).to_have_text(re.compile(r"\d\d:\d\d UTC \(\d\d:\d\d local\)"))
    page.reload()
    expect(page.get_by_role("button", name="Times are UTC")).to_be_visible()


def test_a_stale_metric_says_so(page: Page, board: Board) -> None:
    board.fill(PRICES, until=-30 * 60)
    page.goto(BITCOIN)

    expect(page.locator(".stats .stale")).to_have_text(re.compile(r"stale: (29|30|31) min old"))


def test_a_metric_that_is_not_there_says_what_to_do(page: Page, filled: Board) -> None:
    page.goto("?metric=kraken:nosuch:price")

    expect(page.get_by_role("heading", name="There is no such metric")).to_be_visible()
    expect(page.locator(".message")).to_contain_text("Press / to find another one")


def test_a_wheel_does_nothing_while_another_metric_loads(page: Page, filled: Board) -> None:
    page.goto(BITCOIN)
    expect(page.locator("[data-readout=price]")).to_contain_text("USD")
    page.route(re.compile("markets/kraken:ethbtc"), lambda route: None)  # never answered
    page.evaluate("history.pushState(null, '', '?metric=kraken:ethbtc:price'); dispatchEvent(new Event('popstate'))")
    expect(page.locator(".chart.loading")).to_be_visible()

    page.locator("[data-pane=price] .u-over").dispatch_event("wheel", {"deltaY": -100})

    assert page.url.endswith("?metric=kraken:ethbtc:price")
