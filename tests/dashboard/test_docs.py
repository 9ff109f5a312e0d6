"""The page at /docs in a browser."""

from playwright.sync_api import Page, expect


def test_the_page_shows_the_api_under_its_policy_and_asks_no_other_site(page: Page) -> None:
    errors: list[str] = []
    urls: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: urls.append(request.url))

    page.goto("/docs")

    expect(page.get_by_text("/v1/movers")).to_be_visible()
    assert page.locator(".opblock").count() > 10
    own = page.url.removesuffix("docs")
    assert [url for url in urls if not url.startswith((own, "data:"))] == []
    assert errors == []
