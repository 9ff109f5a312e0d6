"""Numbers, times and series, as the page's modules compute them in the browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from api import create_app
from tests.support.browser import ZONE
from tracker.settings import load

ORIGIN = "http://dashboard.test/"


@pytest.fixture(scope="module")
def modules(chrome: Browser) -> Iterator[Page]:
    """A page with the modules but without a server: the app in this process answers its requests."""
    client = create_app(load({})).test_client()
    context = chrome.new_context(locale="en-US", timezone_id=ZONE)
    page = context.new_page()

    def answer(route: Any) -> None:
        found = client.get(route.request.url.removeprefix(ORIGIN.rstrip("/")))
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.data)

    page.route("**/*", answer)
    page.goto(f"{ORIGIN}static/format.js")
    yield page
    context.close()


def call(page: Page, module: str, function: str, *arguments: object) -> Any:
    return page.evaluate(
        "async ([module, name, given]) => (await import(`/static/${module}.js`))[name](...given)",
        [module, function, list(arguments)],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (67_012.5, "67,012.5"),
        (67_000, "67,000"),
        (1_234.567, "1,234.57"),
        (1.23456789, "1.2346"),
        (5.4e-05, "0.000054"),
        (0.0000123456, "0.000012346"),
        (3.1e-12, "3.1e-12"),
        (123_456_789.123, "123,456,789.1"),
        (2.5e18, "2.5e+18"),
        (-0.5, "-0.5"),
        (None, "–"),
    ],
)
def test_a_number_is_readable_at_any_size(modules: Page, value: float, text: str) -> None:
    assert call(modules, "format", "number", value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(67_012.5, "67.01K"), (1_234_567, "1.235M"), (0.000054, "0.000054"), (9_999, "9,999")]
)
def test_a_number_fits_in_little_room(modules: Page, value: float, text: str) -> None:
    assert call(modules, "format", "short", value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0125, "+1.25 %"),
        (-0.004, "−0.40 %"),
        (0, "0.00 %"),
        (-0.00001, "0.00 %"),
        (0.36429, "+36.4 %"),
        (25, "+2,500 %"),
        (None, "–"),
    ],
)
def test_a_change_has_its_sign(modules: Page, value: float, text: str) -> None:
    assert call(modules, "format", "percent", value) == text


def test_every_digit_that_is_stored_can_be_seen(modules: Page) -> None:
    for value in (67_808.56287570743, 0.1 + 0.2, 5.4e-05, 1e-12, 123_456_789.125):
        assert float(call(modules, "format", "exact", value).replace(",", "")) == value


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 2.5, 5], ["0.0", "2.5", "5.0"]),
        ([66_000, 68_000], ["66,000", "68,000"]),
        ([0, 200_000, 400_000], ["0", "200K", "400K"]),
        ([0.000048, 0.00005], ["0.000048", "0.000050"]),
        ([0, 25_000_000], ["0", "25M"]),
        ([500_000, 1_000_000], ["0.5M", "1.0M"]),
        ([1_000_100, 1_000_200], ["1,000,100", "1,000,200"]),
        ([None, 1, 2], ["", "1", "2"]),
        ([], []),
    ],
)
def test_ticks_of_an_axis_are_told_apart(modules: Page, ticks: list[float], labels: list[str]) -> None:
    assert call(modules, "format", "ticks", ticks) == labels


def test_times_are_local_with_utc_at_hand(modules: Page) -> None:
    assert call(modules, "format", "clock", 1_700_000_000, False) == "03:58"
    assert call(modules, "format", "clock", 1_700_000_000, True, True) == "22:13:20"
    assert call(modules, "format", "moment", 1_700_000_000, False) == "Nov 15 03:58 (22:13 UTC)"
    assert call(modules, "format", "moment", 1_700_000_000, True) == "Nov 14 22:13 UTC (03:58 local)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (89, "89 s"), (720, "12 min"), (12_000, "3 h 20 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_durations(modules: Page, seconds: int, text: str) -> None:
    assert call(modules, "format", "duration", seconds) == text


def test_news_are_joined_to_what_is_known_and_the_window_moves_on(modules: Page) -> None:
    known = {"start": 60, "step": 60, "values": [1, 2, None, 4], "closed": 3, "final": 3}
    news = {"start": 240, "step": 60, "values": [40, 5, None], "closed": 2, "final": 1}
    joined = call(modules, "series", "merge", known, news, 4)
    assert joined == {"start": 180, "step": 60, "values": [None, 40, 5, None], "closed": 3, "final": 2}
    assert call(modules, "series", "merge", known, {"start": 480, "step": 60, "values": [9]}, 4)["values"] == [
        None,
        None,
        None,
        9,
    ]
    assert call(modules, "series", "merge", known, {"start": 300, "step": 300, "values": [9]}, 4)["values"] == [9]


def test_the_baseline_is_the_mean_of_the_present_samples_before(modules: Page) -> None:
    series = {"start": 0, "step": 60, "values": [2.0, None, 4.0, 9.0, 100.0]}
    assert call(modules, "series", "baseline", series, 180, 2) == [None, None, None, 3.0, 6.5]


def test_gaps_and_extremes(modules: Page) -> None:
    values = [None, 3, None, None, 1, 5, None]
    assert call(modules, "series", "gaps", values) == [[0, 0], [2, 3], [6, 6]]
    assert call(modules, "series", "extent", values) == {"count": 3, "low": 1, "lowAt": 4, "high": 5, "highAt": 5}
    assert call(modules, "series", "extent", [None]) is None
