"""HTTP to servers that close too early, never end, or drip: the client gives up in time."""

import gzip
import itertools
import socket
import threading
import time
import tracemalloc
import zlib

import pytest
import requests

from tests.support.asking import HEAD, assert_still_usable, refused
from tests.support.http_server import drip
from tests.support.servers import free_port
from tracker import http
from tracker.sources.http import LARGEST, get_json

MEGABYTE = bytes(1_000_000)
ENOUGH = 200  # most megabytes that a server sends
FOR_EVER = 60  # seconds that a server sends, unless the client hangs up


@pytest.fixture
def impatient(monkeypatch):
    """Uses time limits about fifty times shorter than the real ones."""
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http, "DEADLINE", 0.3)


def given_up(ask):
    """Returns the result of ``ask``, and asserts that it comes long before the server ends."""
    started = time.monotonic()
    result = ask()
    assert time.monotonic() - started < FOR_EVER / 3
    return result


def peak_of(ask):
    """(the result of ``ask``, the most bytes allocated meanwhile)."""
    tracemalloc.start()
    try:
        return ask(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b'Content-Length: 100\r\n\r\n{"result": 1}',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n[1, \r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[1, \r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-4\r\n[1, \r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"4;" * 100_000,
        HEAD + b"Content-Encoding: gzip\r\n\r\n{}",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + gzip.compress(b"{}")[:10],
        HEAD + b"Content-Length: two\r\n\r\n",
        HEAD + b"Content-Length: 2, 3\r\n\r\n{}",
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\n: \r\n\xff\xfe\r\n\r\n",
        bytes(100_000),
    ],
)
def test_a_broken_answer_is_refused(client, server, answer):
    server.sends(answer)
    assert refused(client, server.url).reason in {"unreachable", "not_json"}
    assert_still_usable(client, server)


def test_a_port_that_nobody_listens_on_is_unreachable(client):
    assert refused(client, f"http://127.0.0.1:{free_port()}").reason == "unreachable"


@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid", "http://", "http://a b/", "http://[::1", "nothing", "ftp://x"]
)
def test_a_url_that_leads_nowhere_is_unreachable(client, url):
    assert refused(client, url).reason == "unreachable"


def test_a_connection_closed_between_two_requests_is_no_trouble(client, server):
    server.sends(HEAD + b"Content-Length: 2\r\n\r\n{}")  # and closes
    for _ in range(5):
        assert get_json(client, server.url) == {}
        server.settle()


def megabytes(request, each=lambda piece: piece):
    """Sends ENOUGH megabytes, or fewer if the client hangs up."""
    request.close_connection = True
    for _ in range(ENOUGH):
        request.wfile.write(each(MEGABYTE))


HEADS = {
    "with a length": HEAD + b"Content-Length: 200000000\r\n\r\n",
    "without a length": HEAD + b"\r\n",
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    "of an error": b"HTTP/1.1 500 Oh\r\n\r\n",
    "of a redirect": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_an_answer_of_200_megabytes_is_cut_off(client, server, head):
    def answer(request):
        request.wfile.write(head)
        megabytes(
            request,
            (lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece)) if b"chunked" in head else lambda piece: piece,
        )

    server.answer = answer
    error, peak = peak_of(lambda: refused(client, server.url))
    assert error.reason in {"too_long", "http_302"}
    assert peak < 3 * LARGEST
    assert_still_usable(client, server)


@pytest.fixture(scope="module")
def bomb():
    """200 megabytes of zeros in 200 kB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(MEGABYTE) for _ in range(ENOUGH)), packer.flush()])


@pytest.mark.parametrize("layers", [1, 2, 5, 50])
def test_an_answer_that_unpacks_to_200_megabytes_is_cut_off(client, server, bomb, layers):
    body = bomb
    for _ in range(layers - 1):
        body = gzip.compress(body)
    server.says(body, Content_Encoding=", ".join(["gzip"] * layers))
    error, peak = peak_of(lambda: refused(client, server.url))
    assert error.reason in {"too_long", "unreachable"}
    assert peak < 3 * LARGEST
    assert_still_usable(client, server)


def dripping(head, drop=b" "):
    """Sends ``head``, then one ``drop`` after the other until the client hangs up, each before a read times out."""

    def answer(request):
        request.close_connection = True
        request.wfile.write(head)
        drip(request, drop, pause=0.02, seconds=FOR_EVER)

    return answer


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
        (HEAD + b"\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b" "),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")[:10], b"\x00"),
        (b"HTTP/1.1 503 Oh\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ],
    ids=["with a length", "without a length", "in chunks", "in one chunk", "packed", "of an error", "of a redirect"],
)
def test_an_answer_that_drips_for_ever_is_given_up(client, server, impatient, head, drop):
    server.answer = dripping(head, drop)
    error = given_up(lambda: refused(client, server.url))
    assert error.reason in {"too_slow", "unreachable", "http_302"}
    assert_still_usable(client, server)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["a status line", "a field", "fields", "interim answers"],
)
def test_headers_that_drip_for_ever_are_given_up(client, server, impatient, head, drop):
    server.answer = dripping(head, drop)
    error = given_up(lambda: refused(client, server.url))
    assert error.reason in {"too_slow", "unreachable"}
    assert_still_usable(client, server)


def test_interim_answers_without_end_are_given_up(client, server, impatient):
    def answer(request):
        request.close_connection = True
        until = time.monotonic() + FOR_EVER
        while time.monotonic() < until:
            request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    server.answer = answer
    given_up(lambda: refused(client, server.url))
    assert_still_usable(client, server)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n[1,", HEAD + b"\r\n[1,"])
def test_an_answer_that_stops_is_too_slow(client, server, impatient, sent):
    over = threading.Event()

    def answer(request):
        request.close_connection = True
        request.wfile.write(sent)
        over.wait(FOR_EVER)

    server.answer = answer
    try:
        error = given_up(lambda: refused(client, server.url))
    finally:
        over.set()
    assert error.reason == "too_slow"
    assert_still_usable(client, server)


def test_a_server_that_accepts_nothing_is_too_slow(client, monkeypatch):
    # given a port whose queue of connections is full
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        # then
        error = given_up(lambda: refused(client, f"http://127.0.0.1:{full.getsockname()[1]}"))
        assert error.reason == "too_slow"
        for each in waiting:
            each.close()


def test_many_bad_answers_leave_no_connections_open(client, server):
    answers = itertools.cycle(
        [b"", HEAD + b"Content-Length: 9\r\n\r\n{}", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\nx"]
    )
    open_before = threading.active_count()
    for answer in itertools.islice(answers, 30):
        server.sends(answer)
        refused(client, server.url)
        server.settle()
    assert_still_usable(client, server)
    assert threading.active_count() <= open_before + 5


def test_a_request_that_may_take_less_is_given_up_earlier(server):
    server.says(b"late", delay=2)
    session = http.prepared(http.Plain(), {})
    with pytest.raises(requests.ReadTimeout):
        session.get(server.url, timeout=(1, 0.2))
