"""The webhook against real receivers: the requests they get, and the outcome of their answers."""

import hmac
import json
import time
from email.utils import formatdate

import pytest

from tests.support.http_server import drip
from tests.support.internet import PUBLIC
from tests.support.servers import free_port
from tracker import http
from tracker.alerts.channels.webhook import Channel
from tracker.errors import ChannelError
from tracker.models import FIRING, Alert, Notice

ALERT = Alert(
    "jump", "kraken:btcusd:volume", 1_700_000_040, 301.5, 100.5, 3.0, 60, 3_600, 1_700_000_071.25, text="it jumped"
)
NOTICE = Notice(ALERT.id, ALERT.id, FIRING, "warning", "jump", ALERT.text, ALERT.at, ALERT)


def channel(url, **options):
    return Channel(url=url, **{"allow_private": True} | options)


def refused(url, **options):
    """The ChannelError that sending to ``url`` must raise."""
    with pytest.raises(ChannelError) as refusal:
        channel(url, **options).send(NOTICE)
    return refusal.value


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http, "DEADLINE", 0.4)


def test_the_body_tells_the_alert_with_the_numbers_that_explain_it(server):
    server.says(b"thanks", 202)

    said = channel(server.url + "/hook?key=1").send(NOTICE)

    [post] = server.posts
    told = json.loads(post.body)
    assert said == "answered 202: 'thanks'"
    assert (post.path, post.headers["Content-Type"]) == ("/hook?key=1", "application/json")
    assert post.headers["Idempotency-Key"] == told["id"] == told["key"] == ALERT.id
    assert (told["event"], told["severity"], told["text"], told["at"]) == ("firing", "warning", "it jumped", ALERT.at)
    assert told["alert"] | {"value": 301.5, "baseline": 100.5, "factor": 3.0, "samples": 60} == told["alert"]


def test_the_signature_is_that_of_the_time_and_the_body(server):
    server.says(b"")
    before = int(time.time())

    channel(server.url, secret="s3cret").send(NOTICE)

    [post] = server.posts
    stamp = post.headers["X-Tracker-Timestamp"]
    expected = hmac.new(b"s3cret", stamp.encode() + b"." + post.body, "sha256").hexdigest()
    assert post.headers["X-Tracker-Signature"] == f"v1={expected}"
    assert before <= int(stamp) <= time.time()


def test_without_a_secret_nothing_is_signed(server):
    server.says(b"")
    channel(server.url).send(NOTICE)
    assert not [name for name in server.posts[0].headers if name.startswith("X-Tracker")]


def test_connections_are_used_again(server):
    server.says(b"ok")
    one = channel(server.url)
    for _ in range(3):
        one.send(NOTICE)
    assert len(server.posts) == 3


@pytest.mark.parametrize("status", [300, 301, 307, 400, 401, 404, 410, 422])
def test_what_will_not_change_is_permanent(server, status):
    server.says(b"no", status, Location=server.url + "/elsewhere")
    error = refused(server.url)
    assert (error.permanent, error.status) == (True, status)
    assert len(server.posts) == 1  # a redirect is not followed


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_not(server, status):
    server.says(b"later", status)
    error = refused(server.url)
    assert (error.permanent, error.status, error.retry_after) == (False, status, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("soon", None), ("-5", None), ("in 300 s", 300)],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(server, header, seconds):
    date = formatdate(time.time() + 300, usegmt=True)
    server.says(b"", 429, Retry_After=date if header == "in 300 s" else header)
    assert refused(server.url).retry_after == (seconds if seconds is None else pytest.approx(seconds, abs=60))


def test_a_long_answer_is_not_read(server):
    server.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b"x" * 100_000)
    assert len(channel(server.url).send(NOTICE)) < 300


def test_an_answer_that_ends_early_was_an_answer(server):
    server.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    assert channel(server.url).send(NOTICE) == "answered 200"


def test_a_connection_cut_after_the_body_is_tried_again(server):
    server.sends(b"")
    error = refused(server.url)
    assert (error.permanent, len(server.posts)) == (False, 1)


def test_what_is_no_http_is_tried_again(server):
    server.sends(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    assert not refused(server.url).permanent


def test_a_receiver_that_hangs_or_drips_is_left(server, impatient):
    def dripping(request):
        request.send_response(200)
        request.send_header("X", "y" * 10)
        drip(request, b"a", pause=0.05, seconds=10)

    for answer in (server.hang, dripping):
        server.answer = answer
        began = time.monotonic()
        assert not refused(server.url).permanent
        assert time.monotonic() - began < 5


def test_a_port_where_nobody_listens_is_tried_again():
    error = refused(f"http://127.0.0.1:{free_port()}/secret-path")
    assert not error.permanent
    assert "secret" not in str(error)


def test_a_host_that_does_not_exist_is_tried_again():
    error = refused("http://no-such-host.invalid/secret-path", allow_private=False)
    assert not error.permanent
    assert "secret" not in str(error)


def test_private_addresses_are_refused_unless_allowed(server):
    server.says(b"")
    for host in ("127.0.0.1", "localhost", "2130706433"):
        error = refused(f"http://{host}:{server.url.rpartition(':')[2]}/", allow_private=False)
        assert error.permanent
        assert "allow_private" in str(error)
    assert not server.posts


def test_the_address_that_was_checked_is_the_one_connected_to(server, internet):
    """The name leads to a public address at the first lookup and to a private one at the second."""
    internet.resolves("rebinding.example", PUBLIC, "127.0.0.1")
    error = refused("http://rebinding.example/", allow_private=False)
    assert internet.connected == [(PUBLIC, 80)]
    assert not error.permanent  # nothing listens there in this test


def test_the_public_one_of_several_addresses_is_taken(server, internet):
    server.says(b"ok")
    internet.resolves("both.example", ["fd00::1", "10.1.2.3", PUBLIC])
    internet.leads(PUBLIC, server.url)
    assert channel("http://both.example/", allow_private=False).send(NOTICE) == "answered 200: 'ok'"
    assert internet.connected == [(PUBLIC, 80)]


def test_neither_url_nor_secret_is_shown():
    shown = repr(channel("https://hooks.example/T0K3N", secret="s3cret"))
    assert "T0K3N" not in shown and "s3cret" not in shown


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_path_that_the_receiver_repeats_is_masked(server, status):
    body = b"Cannot POST /hooks/T0K3N-abc%2Fdef?key=K3Y12345: no route for T0K3N-abc/def" + b" K3Y12345" * 30
    server.says(body, status)
    one = channel(server.url + "/hooks/T0K3N-abc%2Fdef?key=K3Y12345")
    if status == 200:
        said = one.send(NOTICE)
    else:
        with pytest.raises(ChannelError) as refusal:
            one.send(NOTICE)
        said = str(refusal.value)
    assert said.startswith(f"answered {status}: 'Cannot POST ")
    assert "T0K3N" not in said and "K3Y" not in said
