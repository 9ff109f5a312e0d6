"""Apprise's own plugins down to the wire: only the address of the service is changed, to a local receiver's."""

import base64
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from aiosmtpd.controller import Controller

from tests.support.internet import PUBLIC
from tests.support.servers import free_port
from tracker.alerts.channels import apprise
from tracker.alerts.channels.apprise import Channel
from tracker.alerts.options import Expected
from tracker.errors import ChannelError
from tracker.models import DIGEST, FIRING, RESOLVED, Notice

KEY = "jump:kraken:btcusd:volume:1700000040"
NOTICE = Notice(KEY, KEY, FIRING, "critical", "jump: kraken:btcusd:volume", "302 is 3.02 x its mean", 1_700_000_071.0)
RESOLVED_NOTICE = Notice(f"{KEY}:resolved", KEY, RESOLVED, "info", "Resolved: kraken", "over: 302", 1_700_000_200.0)

ACCOUNT = "AC" + "0123456789abcdef" * 2
TWILIO = f"twilio://{ACCOUNT}:{'deadbeef' * 4}@15551230000/15559870000"
PUSHOVER = f"pover://{'u' * 30}@{'t' * 30}"
PAGERDUTY = f"pagerduty://{'integrationkey0'}@{'apikey0123456789'}"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts"


@pytest.fixture
def service(server, monkeypatch):
    """The receiver in the place of every service; ``hosts``: those that were asked for."""
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


def channel(url, **options):
    """One that may reach the receivers here, which are on this machine."""
    return Channel(url=url, **{"allow_private": True} | options)


def sent(service, url, notice=NOTICE):
    """The one request that sending made."""
    service.posts.clear()
    assert "success" in channel(url).send(notice)
    [post] = service.posts
    return post


@pytest.fixture
def logged():
    """What reaches a worker's log, at every level."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


# What the services get


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


# What they answer


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
        assert len(service.posts) == 1  # none of them tries again by itself


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
    """Apprise by itself would wait for 4 s and call it failed, though it was not."""

    def slowly(request):
        time.sleep(4.5)
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    service.answer = slowly
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
    with pytest.raises(Expected):
        apprise.service_url(url)


def test_other_sessions_are_not_listened_to(server):
    server.says(b"{}")
    requests.get(server.url, timeout=5)
    assert apprise._answers.get() is None


# E-mail


class Mailbox:
    """A real SMTP server; ``code``: what it answers to a message."""

    def __init__(self):
        self.code = "250 OK"
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(envelope)
        return self.code


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield box, f"mailto://127.0.0.1:{controller.port}?from=tracker@example.com&to=kim@example.com&mode=insecure"
    finally:
        controller.stop()


def test_a_mail_has_subject_and_text(mailbox):
    box, url = mailbox
    channel(url).send(NOTICE)
    [mail] = box.mails
    text = mail.content.decode()
    assert mail.rcpt_tos == ["kim@example.com"]
    assert f"Subject: {NOTICE.title}" in text and NOTICE.text in text


def test_a_mail_that_is_refused_is_tried_again(mailbox):
    box, url = mailbox
    box.code = "451 try again later"
    with pytest.raises(ChannelError) as refusal:
        channel(url).send(NOTICE)
    assert not refusal.value.permanent
    assert len(box.mails) == 1


def test_a_mail_server_that_is_away_or_hangs_is_left(monkeypatch):
    monkeypatch.setattr(apprise, "READ_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never greets
        for port in (free_port(), silent.getsockname()[1]):
            with pytest.raises(ChannelError) as refusal:
                channel(f"mailto://127.0.0.1:{port}?from=a@example.com&to=b@example.com&mode=insecure").send(NOTICE)
            assert not refusal.value.permanent


# Where it may go


REFUSED = "allow_private = true"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
@pytest.mark.parametrize("kind", ["json", "xml", "form", "ntfy", "gotify"])
def test_a_service_on_a_private_address_is_refused_unless_allowed(server, kind, host):
    server.says(b'{"id": 1}')
    url = f"{kind}://{host}:{server.url.rpartition(':')[2]}/topictoken"

    with pytest.raises(ChannelError) as refusal:
        channel(url, allow_private=False).send(NOTICE)

    assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert not server.asked
    channel(url).send(NOTICE)
    assert server.posts


def test_a_mail_server_on_a_private_address_is_refused_unless_allowed(mailbox):
    box, url = mailbox
    for each in (url, url.replace("127.0.0.1", "localhost")):
        with pytest.raises(ChannelError) as refusal:
            channel(each, allow_private=False).send(NOTICE)
        assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert not box.mails


def test_a_datagram_to_a_private_address_is_refused_unless_allowed():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        url = f"rsyslog://127.0.0.1:{receiver.getsockname()[1]}"
        with pytest.raises(ChannelError) as refusal:
            channel(url, allow_private=False).send(NOTICE)
        assert refusal.value.permanent
        channel(url).send(NOTICE)
        assert NOTICE.text in receiver.recv(2_000).decode()


def test_a_redirect_to_a_private_address_is_refused(server, internet):
    """A public receiver, which is played by the one here, sends us on to this machine."""
    internet.resolves("public.example", PUBLIC)
    internet.leads(PUBLIC, server.url)
    server.says(b"", 307, Location=server.url + "/inside")

    with pytest.raises(ChannelError) as refusal:
        channel("json://public.example/hook", allow_private=False).send(NOTICE)

    assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert server.asked == ["/hook"]


def test_a_public_service_is_reached_where_its_name_leads_first(server, mailbox, internet):
    """Its name leads to this machine when it is looked up again."""
    box, url = mailbox
    internet.resolves("public.example", PUBLIC, "127.0.0.1")
    internet.leads(PUBLIC, server.url)
    server.says(b"")
    assert "success" in channel("json://public.example/hook", allow_private=False).send(NOTICE)
    assert internet.connected == [(PUBLIC, 80)]

    internet.resolves("mail.example", "2606:4700::6810:85e5", "127.0.0.1")
    with pytest.raises(ChannelError) as refusal:
        channel(url.replace("127.0.0.1", "mail.example"), allow_private=False).send(NOTICE)
    assert not refusal.value.permanent  # nobody listens there in this test
    assert internet.connected[1][0] == "2606:4700::6810:85e5" and len(internet.connected) == 2
    assert not box.mails


def test_what_else_the_process_does_is_not_guarded(server, monkeypatch):
    """Another thread reaches the store, say, while a send is under way."""
    server.says(b"")
    seen = []

    def meanwhile(*_, **__):
        thread = threading.Thread(target=lambda: seen.append(requests.get(server.url, timeout=10).status_code))
        thread.start()
        thread.join()
        return False

    monkeypatch.setattr(apprise.Apprise, "notify", lambda *_, **__: [])
    monkeypatch.setattr(apprise, "masked", meanwhile)
    with pytest.raises(ChannelError):
        channel(PUSHOVER, allow_private=False).send(NOTICE)
    assert seen == [200]
