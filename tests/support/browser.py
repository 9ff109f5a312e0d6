"""The Chromium of the machine, headless, driven by Playwright."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

#: Without a sandbox (tests may run as root), a graphics card, and anything that uses the internet.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """The browser at the path ``program``, with a new profile that is deleted afterwards."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield running
        finally:
            running.close()


def eager(page: Page) -> None:
    """Changes the API's answers to be good for one second only, so that the page asks often."""

    def hurried(route: Route) -> None:
        try:
            answer = route.fetch()
        except Error:  # the server, or the page, is gone
            return route.abort()
        route.fulfill(response=answer, headers={**answer.headers, "cache-control": "max-age=1"})

    page.route(re.compile("/v1/"), hurried)


#: Far from UTC, so that a test notices when the two are mixed up.
ZONE = "Asia/Kathmandu"
