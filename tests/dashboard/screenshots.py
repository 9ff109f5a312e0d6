"""Takes the documents' pictures of the dashboard and Flower, from the whole stack with its simulated exchange."""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import browser
from tests.support.servers import wait_for
from tests.support.stack import ROOT, Stack

FOLDER = ROOT / "docs" / "screenshots"
#: Bytes of a picture at most: the repository keeps every version.
LARGEST = 200_000
#: Seconds to wait for the first alert. It takes the samples of some minutes.
PATIENCE = 240


@dataclass(frozen=True)
class Picture:
    """A state of the page: its address, and the selector of what must be visible before the picture is taken."""

    name: str
    address: str
    shown: str
    width: int = 1280
    height: int = 720
    scheme: str = "light"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), SIMULATOR_MARKETS="180") as stack:
        stack.ready()
        alert = newest_alert(stack)
        ids = [row["id"] for row in stack.get("/v1/metrics?exchange=kraken&quote=usd&limit=100&fields=id")["metrics"]]
        ids = [*ids[:6], *(id for id in ids if id.endswith("volume"))][:9]
        explained = f"?metric={alert['metric']}&alert={alert['id']}"
        price = "?metric=" + stack.get("/v1/metrics?field=price&limit=1&fields=id")["metrics"][0]["id"]
        pictures = [
            Picture("chart", price, "canvas"),
            Picture("chart-dark", price, "canvas", scheme="dark"),
            Picture("alert", explained, ".explain h2, canvas"),
            Picture("movers", "?view=movers", "td.sparks", height=640),
            Picture("heatmap", "?view=heatmap", ".heat a", scheme="dark"),
            Picture("grid", "?view=grid&panes=" + ",".join(ids), ".grid canvas", scheme="dark"),
            Picture("flower-workers", f"{stack.flower}/workers", "tbody td", height=620),
            Picture("flower-tasks", f"{stack.flower}/tasks?name=fetch", "tbody td", width=1440),
            Picture("phone", price, "canvas", width=390, height=844),
        ]
        with browser(shutil.which("chromium") or sys.exit("screenshots: this machine has no chromium")) as chrome:
            for picture in pictures:
                take(chrome, stack.api, picture)


def newest_alert(stack: Stack) -> dict:
    alerts = wait_for(lambda: stack.get("/v1/alerts?limit=10")["alerts"], "an alert", PATIENCE)
    return next((alert for alert in alerts if alert["metric"].endswith(":volume")), alerts[0])


def take(chrome: Browser, url: str, picture: Picture) -> None:
    context = chrome.new_context(
        base_url=url, viewport={"width": picture.width, "height": picture.height}, color_scheme=picture.scheme,
        locale="en-US", timezone_id="Europe/Berlin",
    )  # fmt: skip
    page: Page = context.new_page()
    page.goto(picture.address)
    expect(page.locator(picture.shown).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    path = FOLDER / f"{picture.name}.png"
    page.screenshot(path=path)
    context.close()
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}  {size // 1000} kB")
    if size > LARGEST:
        sys.exit(f"screenshots: {path} has {size} bytes, more than {LARGEST}")


if __name__ == "__main__":
    main()
