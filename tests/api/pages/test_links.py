"""The pages behind the signed links of notices: what GET shows, what POST does, and links that do not work."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pytest
import requests
from flask.testing import FlaskClient

from api import create_app
from tests.support.http_server import HttpServer
from tests.support.sending import ALERT
from tests.support.served import served
from tests.support.tracked import Tracked, spread
from tracker.alerts import links
from tracker.alerts.channels import ConfiguredChannel, webhook
from tracker.alerts.extras import Extras
from tracker.alerts.links import Links
from tracker.alerts.outbox import Outbox
from tracker.alerts.sender import deliver
from tracker.alerts.silences import Silence, Silences
from tracker.clock import wall
from tracker.series.ring import DAY, HOUR
from tracker.store.api_keys import Keys


class Clicked:
    """An alert, its links as paths of the API, and what happened to it."""

    def __init__(self, tracked: Tracked):
        self.redis = tracked.store.redis
        self.outbox = Outbox(self.redis)
        self.outbox.record(replace(ALERT, text="<b>it jumped</b>"), 60, ["phone"])
        self.app = tracked.client

    def path(self, action: str, at: float | None = None) -> str:
        made = Links(self.redis).actions("", ALERT.id, "phone", wall() if at is None else at)
        return {each.name: each.url for each in made}[action]

    @property
    def acknowledged(self) -> dict[str, Any] | None:
        return (self.outbox.get(ALERT.id) or ALERT).acknowledged

    @property
    def silences(self) -> list[Silence]:
        return Silences(self.redis).all(wall())


@pytest.fixture
def clicked(tracked: Tracked) -> Clicked:
    return Clicked(tracked)


def test_to_fetch_a_link_changes_nothing_and_says_what_its_button_does(clicked: Clicked) -> None:
    for _ in range(2):
        page = clicked.app.get(clicked.path("acknowledge"))
        assert page.status_code == 200 and page.mimetype == "text/html"
        assert "shows that somebody sees to this alert. Its reminders stop" in page.text
        assert page.text.count("<button>Acknowledge</button>") == 1
    assert "any alert of kraken:btcusd:volume" in clicked.app.get(clicked.path("silence")).text
    assert clicked.app.head(clicked.path("silence")).status_code == 200
    assert clicked.acknowledged is None and clicked.silences == []


def test_the_button_acknowledges_in_the_name_of_the_channel(clicked: Clicked) -> None:
    path = clicked.path("acknowledge")
    assert "Done" in clicked.app.post(path).text
    assert clicked.acknowledged and clicked.acknowledged["by"] == "link of phone"


def test_the_button_silences_the_metric_for_an_hour(clicked: Clicked) -> None:
    assert "Done" in clicked.app.post(clicked.path("silence")).text
    [silence] = clicked.silences
    assert silence.match == (ALERT.metric,) and silence.by == "link of phone"
    assert silence.until == pytest.approx(wall() + HOUR, abs=60)


def test_a_link_works_once(clicked: Clicked) -> None:
    paths = [clicked.path("acknowledge"), clicked.path("silence")]
    for path in paths:
        clicked.app.post(path)
    clicked.outbox.take_back(ALERT.id)
    Silences(clicked.redis).remove(clicked.silences[0].id)
    for path in paths:
        for answer in (clicked.app.get(path), clicked.app.post(path)):
            assert answer.status_code == 200
            assert "This link was used" in answer.text and "<button>" not in answer.text
    assert clicked.acknowledged is None and clicked.silences == []


def test_two_clicks_at_once_make_one_silence(clicked: Clicked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Links, "used_at", lambda self, link: None)  # both have looked before either has noted it
    path = clicked.path("silence")
    for _ in range(2):
        assert clicked.app.post(path).status_code == 200
    assert len(clicked.silences) == 1


def test_a_link_does_not_take_an_alert_from_somebody(clicked: Clicked) -> None:
    path = clicked.path("acknowledge")
    clicked.outbox.acknowledge(ALERT.id, "kim", "mine", 1_700_000_300)
    for answer in (clicked.app.get(path), clicked.app.post(path)):
        assert "acknowledged already" in answer.text and "kim" in answer.text and "<button>" not in answer.text
    assert clicked.acknowledged and clicked.acknowledged["by"] == "kim"


def test_the_page_of_an_alert_that_is_over_says_so(clicked: Clicked) -> None:
    clicked.outbox.resolve(ALERT.id, ALERT.at + 60)
    assert "The alert is over by now." in clicked.app.get(clicked.path("silence")).text


def test_an_expired_link_does_nothing_and_says_so(clicked: Clicked) -> None:
    path = clicked.path("silence", at=wall() - DAY - 1)
    for answer in (clicked.app.get(path), clicked.app.post(path)):
        assert answer.status_code == 410
        assert "has expired" in answer.text and "<button>" not in answer.text
    assert clicked.silences == []


@pytest.mark.parametrize(
    "change",
    [
        lambda path, query: (path, query | {"until": str(int(query["until"]) + 1)}),
        lambda path, query: (path, query | {"alert": query["alert"].replace("btc", "eth")}),
        lambda path, query: (path, query | {"channel": "mail"}),
        lambda path, query: (path, query | {"signature": query["signature"][:-2]}),
        lambda path, query: (path, query | {"signature": ""}),
        lambda path, query: (path, query | {"until": "\u0661"}),
        lambda path, query: (path.replace("silence", "acknowledge"), query),
        lambda path, query: (path.replace("silence", "delete"), query),
        lambda path, query: (path, {}),
    ],
)
def test_a_link_that_was_changed_is_not_ours(
    clicked: Clicked, change: Callable[[str, dict[str, str]], tuple[str, dict[str, str]]]
) -> None:
    parts = urlsplit(clicked.path("silence"))
    path, query = change(parts.path, dict(parse_qsl(parts.query)))
    answer = clicked.app.post(f"{path}?{urlencode(query)}")
    assert answer.status_code == 403 and "not valid" in answer.text
    assert clicked.acknowledged is None and clicked.silences == []


def test_the_page_runs_no_script_and_is_not_kept(clicked: Clicked) -> None:
    page = clicked.app.get(clicked.path("silence"))
    assert "<b>" not in page.text and "&lt;b&gt;it jumped" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    policy = page.headers.get_all("Content-Security-Policy")
    assert len(policy) == 1 and "script-src" not in policy[0] and "form-action 'self'" in policy[0]
    [style] = re.findall(r'href="../(static/[^"]+)"', page.text)
    assert clicked.app.get(f"/{style}").status_code == 200


def test_an_alert_that_is_gone_is_told(clicked: Clicked) -> None:
    path = clicked.path("acknowledge").replace("jump:", "gone:")
    made = Links(clicked.redis).actions("", "gone:kraken:btcusd:volume:60", "phone", wall())
    assert clicked.app.post(made[0].url).status_code == 404
    assert clicked.app.post(path).status_code == 403


def test_too_many_silences_are_told(clicked: Clicked) -> None:
    for number in range(200):
        Silences(clicked.redis).add((f"x{number}",), wall() + HOUR, "many", wall())
    answer = clicked.app.post(clicked.path("silence"))
    assert answer.status_code == 409 and "200 silences already" in answer.text


def keyed(tracked: Tracked, **settings: Any) -> FlaskClient:
    Keys(tracked.store.redis).create("ops", "admin", 0)
    return create_app(replace(tracked.settings, **settings)).test_client()


def test_a_link_needs_no_key_and_opens_nothing_else(tracked: Tracked, clicked: Clicked) -> None:
    app = keyed(tracked, api_reads="key", trusted_proxies=1)
    assert app.get(clicked.path("acknowledge")).status_code == 200
    assert app.post(clicked.path("acknowledge"), headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 200
    assert app.get("/v1/alerts").status_code == 401
    assert app.post(f"/v1/alerts/{ALERT.id}/acknowledge", json={"by": "x"}).status_code == 401
    assert app.post("/links/../v1/silences", json={}).status_code in (403, 404)
    assert app.delete(clicked.path("acknowledge")).status_code == 405


def test_a_link_shows_the_picture_of_its_alert_and_no_other_link_does(tracked: Tracked, clicked: Clicked) -> None:
    tracked.watch("kraken:btcusd")
    tracked.put("kraken:btcusd", spread(100, 20))
    path = Links(clicked.redis).signed(links.PICTURE, "", ALERT.id, "bot", wall())
    for _ in range(2):
        answer = clicked.app.get(path)
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert answer.data.startswith(b"\x89PNG")
    acknowledging = clicked.path("acknowledge").replace("acknowledge", "picture")
    assert clicked.app.get(acknowledging).status_code == 403
    assert clicked.app.post(path).status_code == 403
    assert clicked.app.post(path.replace("picture", "silence")).status_code == 403
    assert clicked.app.get(Links(clicked.redis).signed(links.PICTURE, "", ALERT.id, "bot", 0)).status_code == 410


def test_requests_for_links_are_counted_and_bounded(tracked: Tracked, clicked: Clicked) -> None:
    app = keyed(tracked, api_rate=3)
    answers = [app.post("/links/acknowledge?signature=guess").status_code for _ in range(4)]
    assert answers == [403, 403, 403, 429]
    assert app.get("/links/acknowledge?" + "x" * 9_000).status_code == 414


def test_the_links_of_a_real_notice_work_over_http(tracked: Tracked, server: HttpServer) -> None:
    """The receiver repeats what it gets: what is kept of its answer has no signature."""
    server.answer = lambda request: repeat(request, server.posts[-1].body.partition(b"actions")[2][:195])
    outbox = Outbox(tracked.store.redis)
    outbox.record(ALERT, 60, ["bot"])
    channel = webhook.Channel(url=server.url, allow_private=True)
    outlets = {"bot": ConfiguredChannel(name="bot", kind="webhook", channel=channel)}
    row = f"{ALERT.id}/bot/firing"
    with served(tracked.url) as url:
        deliver(outbox, outlets, row, Extras(replace(tracked.settings, public_url=url)).added)
        actions = orjson.loads(server.posts[-1].body)["actions"]
        assert set(actions) == set(links.ACTIONS)
        assert requests.get(orjson.loads(server.posts[-1].body)["picture"], timeout=10).status_code == 410  # no samples
        assert "<button>" in requests.get(actions["silence"], timeout=10).text
        assert "Done" in requests.post(actions["silence"], timeout=10).text
        assert "Done" in requests.post(actions["acknowledge"], data={"x": "y"}, timeout=10).text
    assert [silence.match for silence in Silences(outbox.redis).all(wall())] == [(ALERT.metric,)]
    kept = outbox.deliveries.get(row)
    signature = actions["acknowledge"].rpartition("=")[2]
    assert kept and kept.state == "delivered" and "***" in kept.attempts[-1].detail
    assert signature[:9] not in kept.attempts[-1].detail


def repeat(request: Any, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
