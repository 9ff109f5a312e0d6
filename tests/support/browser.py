"""A real headless Chromium, Debian's, driven by Playwright."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

#: What a test machine has no use for: a sandbox (it runs as root), a graphics card, and anything that goes out.
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
    """The browser at the path ``program``, with a profile of its own, which is gone afterwards."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield running
        finally:
            running.close()


def eager(page: Page) -> None:
    """Lets the API say that its answers are good for a second only, whatever its own pace."""

    def hurried(route: Route) -> None:
        try:
            answer = route.fetch()
        except Error:  # the server, or the page, is gone
            return route.abort()
        route.fulfill(response=answer, headers={**answer.headers, "cache-control": "max-age=1"})

    page.route(re.compile("/v1/"), hurried)


#: Far from UTC, so that the two cannot be taken for each other.
ZONE = "Asia/Kathmandu"
