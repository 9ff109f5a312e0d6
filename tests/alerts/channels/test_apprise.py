"""Apprise's own plugins, down to the wire. A local receiver takes the place of every service."""

import base64
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from apprise import URLBase
from pydantic import ValidationError

from tests.support.services import KEY, NOTICE, PUSHOVER, channel
from tracker.alerts.channels import apprise
from tracker.errors import ChannelError
from tracker.models import DIGEST, RESOLVED, Action, Notice

RESOLVED_NOTICE = Notice(f"{KEY}:resolved", KEY, RESOLVED, "info", "Resolved: kraken", "over: 302", 1_700_000_200.0)
LINKED = replace(NOTICE, link=f"https://tracker.example/?metric=kraken:btcusd:volume&alert={KEY}&{'long' * 20}")
ACCOUNT = "AC" + "0123456789abcdef" * 2
TWILIO = f"twilio://{ACCOUNT}:{'deadbeef' * 4}@15551230000/15559870000"
PAGERDUTY = f"pagerduty://{'integrationkey0'}@{'apikey0123456789'}"
TELEGRAM = f"tgram://123456789:{'abcdefg' * 5}/12345678"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts"


@pytest.fixture
def service(server, monkeypatch):
    """A local receiver that gets the requests to every service. ``hosts``: their (scheme, host)."""
    send = requests.adapters.HTTPAdapter.send
    server.hosts = []

    def redirected(adapter, request, **options):
        parts = urlsplit(request.url)
        server.hosts.append((parts.scheme, parts.netloc))
        request.url = server.url + request.path_url
        return send(adapter, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirected)
    server.says(b'{"status": 1, "ok": true}')
    return server


def sent(service, url, notice=NOTICE):
    """Sends ``notice`` and returns the one request."""
    service.posts.clear()
    assert "success" in channel(url).send(notice)
    [post] = service.posts
    return post


@pytest.fixture
def logged():
    """The lines of a worker's log, at every level."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_twilio_gets_a_text_message(service):
    service.says(b"{}", 201)
    post = sent(service, TWILIO)
    assert service.hosts == [("https", "api.twilio.com")]
    assert post.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert post.headers["Authorization"] == "Basic " + base64.b64encode(f"{ACCOUNT}:{'deadbeef' * 4}".encode()).decode()
    form = parse_qs(post.body.decode())
    assert (form["From"], form["To"]) == (["+15551230000"], ["+15559870000"])
    assert form["Body"] == [f"{NOTICE.title}\r\n{NOTICE.text}"]


def test_pushover_gets_a_push(service):
    post = sent(service, PUSHOVER)
    assert service.hosts == [("https", "api.pushover.net")]
    assert post.path == "/1/messages.json"
    form = parse_qs(post.body.decode())
    assert (form["token"], form["user"]) == (["t" * 30], ["u" * 30])
    assert (form["title"], form["message"]) == ([NOTICE.title], [NOTICE.text])


def test_a_link_stands_below_the_text(service):
    form = parse_qs(sent(service, PUSHOVER, LINKED).body.decode())
    assert form["message"] == [f"{NOTICE.text}\n{LINKED.link}"]


def test_a_text_message_has_no_link_that_does_not_fit(service):
    service.says(b"{}", 201)
    short, long = replace(LINKED, link="https://t.example/"), LINKED
    assert short.link in parse_qs(sent(service, TWILIO, short).body.decode())["Body"][0]
    assert parse_qs(sent(service, TWILIO, long).body.decode())["Body"] == [f"{NOTICE.title}\r\n{NOTICE.text}"]


def test_a_digest_has_the_lines_that_fit(service):
    """Pushover takes 1,024 characters and refuses more for good."""
    told = [f"{number}: " + "x" * 200 for number in range(10)]
    post = sent(service, PUSHOVER, replace(NOTICE, event=DIGEST, text="\n".join(["10 x jump", *told, "and 9 more"])))
    message = parse_qs(post.body.decode())["message"][0].splitlines()
    assert message == ["10 x jump", *told[:4], "and 9 more"]


def test_ntfy_gets_buttons(service):
    actions = (Action("acknowledge", "Acknowledge", "https://t.example/links/acknowledge?alert=a:b&signature=x-_"),
               Action("silence", "Silence 1 h", "https://t.example/links/silence?alert=a:b&signature=y"))  # fmt: skip
    post = sent(service, "ntfy://127.0.0.1:8080/alerts?priority=high", replace(LINKED, actions=actions))
    told = json.loads(post.body)
    assert (told["topic"], told["message"]) == ("alerts", NOTICE.text)
    assert post.headers["X-Click"] == LINKED.link
    assert post.headers["X-Actions"] == "; ".join(
        f"view, {action.label}, {action.url}, clear=true" for action in actions
    )
    assert post.headers["X-Priority"] == "high"


def test_other_services_get_links_to_act_as_lines(service):
    service.says(b"ok")
    action = Action("silence", "Silence 1 h", "https://t.example/links/silence?alert=a:b&signature=y")
    told = json.loads(sent(service, SLACK, replace(NOTICE, actions=(action,))).body)
    assert "Silence 1 h: https://t.example/links/silence?alert=a:b" in json.dumps(told)


def test_a_text_is_no_html(service):
    """Telegram refuses a ``<`` that begins no tag, for good."""
    post = sent(service, TELEGRAM, replace(NOTICE, text="3 < 5", context=("price 1 usd", "b & c")))
    assert "3 &lt; 5\r\nprice 1 usd\r\nb &amp; c" in json.loads(post.body)["text"]


def test_pagerduty_gets_an_incident_and_its_end_by_the_same_key(service):
    service.says(b"{}", 202)
    firing = json.loads(sent(service, PAGERDUTY).body)
    resolved = json.loads(sent(service, PAGERDUTY, RESOLVED_NOTICE).body)
    assert set(service.hosts) == {("https", "events.pagerduty.com")}
    assert (firing["event_action"], firing["dedup_key"], firing["routing_key"]) == ("trigger", KEY, "integrationkey0")
    assert NOTICE.text in firing["payload"]["summary"] and firing["payload"]["severity"] == "critical"
    assert (resolved["event_action"], resolved["dedup_key"]) == ("resolve", KEY)


def test_a_digest_is_no_end_of_an_incident(service):
    service.says(b"{}", 202)
    digest = Notice("digest:60/pd/digest", "digest:60/pd/digest", DIGEST, "info", "5 more alerts", "5 x jump", 0.0)
    assert json.loads(sent(service, PAGERDUTY, digest).body)["event_action"] == "trigger"


def test_slack_gets_a_message(service):
    service.says(b"ok")
    post = sent(service, SLACK)
    assert service.hosts == [("https", "hooks.slack.com")]
    assert post.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    told = json.loads(post.body)
    assert told["channel"] == "#alerts"
    assert NOTICE.text in json.dumps(told) and NOTICE.title in json.dumps(told)


@pytest.mark.parametrize(
    ("status", "is_permanent"), [(400, True), (401, True), (404, True), (408, False), (429, False), (500, False)]
)
def test_a_refusal_says_its_status_and_whether_to_try_again(service, status, is_permanent):
    service.says(b"no", status, Retry_After="77")
    for url in (TWILIO, PUSHOVER, PAGERDUTY, SLACK):
        service.posts.clear()
        with pytest.raises(ChannelError) as refusal:
            channel(url).send(NOTICE)
        assert (refusal.value.permanent, refusal.value.status) == (is_permanent, status)
        assert refusal.value.retry_after == 77
        assert len(service.posts) == 1  # the plugin does not retry by itself


def test_a_url_cannot_ask_for_tries_of_its_own(service):
    service.says(b"no", 500)
    with pytest.raises(ChannelError):
        channel(PUSHOVER + "?retry=3&wait=0").send(NOTICE)
    assert len(service.posts) == 1


def test_a_connection_cut_after_the_body_is_tried_again(service):
    service.sends(b"")
    with pytest.raises(ChannelError) as refusal:
        channel(PUSHOVER).send(NOTICE)
    assert not refusal.value.permanent
    assert len(service.posts) == 1


def test_a_slow_service_is_waited_for_and_called_once(service, monkeypatch):
    """After its own short limit, Apprise would report a failure although the notice was sent."""
    monkeypatch.setattr(URLBase, "socket_read_timeout", 0.1)
    service.says(b"", delay=0.5)
    assert "success" in channel(PUSHOVER).send(NOTICE)
    assert len(service.posts) == 1


def test_one_that_hangs_is_left(service, monkeypatch):
    monkeypatch.setattr(apprise, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr(apprise, "CONNECT_TIMEOUT", 0.3)
    release = threading.Event()
    service.answer = lambda request: release.wait(20)
    try:
        with pytest.raises(ChannelError) as refusal:
            channel(PUSHOVER).send(NOTICE)
        assert not refusal.value.permanent
    finally:
        release.set()


def test_secrets_are_in_no_text(service, logged):
    service.says(b"no", 401)
    for url, secrets in (
        (TWILIO, ["deadbeef" * 4, ACCOUNT, "15559870000"]),
        (PUSHOVER, ["t" * 30, "u" * 30]),
        (PAGERDUTY, ["apikey0123456789", "integrationkey0"]),
        (SLACK, ["TIiajkdnlazkcOXrIdevi7FQ"]),
    ):
        one = channel(url)
        with pytest.raises(ChannelError) as refusal:
            one.send(NOTICE)
        for secret in secrets:
            assert secret not in f"{one!r} {refusal.value} {logged}"
        assert "failure" in str(refusal.value)


@pytest.mark.parametrize("url", ["", "nosuch://a/b", "pover://", "just words", 3])
def test_a_url_that_no_service_has_is_refused(url):
    with pytest.raises(ValidationError):
        channel(url)


def test_nothing_is_patched_before_or_after_a_send(service):
    unpatched = requests.Session.send
    assert unpatched.__module__ == "requests.sessions"
    for status in (200, 401):
        service.says(b"{}", status)
        with suppress(ChannelError):
            channel(PUSHOVER).send(NOTICE)
        assert requests.Session.send is unpatched


def refused(url):
    """(status, retry_after) of the ChannelError that a send to ``url`` raises."""
    with pytest.raises(ChannelError) as refusal:
        channel(url).send(NOTICE)
    return refusal.value.status, refusal.value.retry_after


def test_sends_at_once_know_their_own_answers(service):
    """Each answer waits for the other request, so both sends overlap. A request of another thread is not affected."""
    unpatched, together = requests.Session.send, threading.Barrier(2, timeout=20)

    def answer(request):
        status = int(request.path[1:])
        if status != 200:
            together.wait()
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.send_header("Retry-After", str(status))
        request.end_headers()

    service.answer = answer
    with ThreadPoolExecutor(3) as threads:
        for _ in range(5):
            sent = [threads.submit(refused, f"json://service.example/{status}") for status in (401, 500)]
            other = threads.submit(requests.get, f"{service.url}/200", timeout=20)
            assert [each.result() for each in sent] == [(401, 401), (500, 500)]
            assert other.result().status_code == 200
            assert requests.Session.send is unpatched


def test_a_send_that_ends_takes_nothing_from_one_under_way(service, monkeypatch):
    unpatched, notify = requests.Session.send, apprise.Apprise.notify
    under_way, go_on = threading.Event(), threading.Event()

    def slowly(self, **options):
        if "slow" in self.urls()[0]:
            under_way.set()
            assert go_on.wait(20)
        return notify(self, **options)

    monkeypatch.setattr(apprise.Apprise, "notify", slowly)
    service.says(b"no", 401, Retry_After="7")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(refused, "json://slow.example/")
        assert under_way.wait(20)
        assert refused("json://quick.example/") == (401, 7)
        assert requests.Session.send is not unpatched
        go_on.set()
        assert slow.result() == (401, 7)
    assert requests.Session.send is unpatched
