import gzip
import itertools
import json
import socket
import threading
import time
import tracemalloc
import zlib
from email.utils import formatdate
from unittest import mock

import pytest

from tests.support.servers import free_port
from tracker import http
from tracker.errors import MustWait, SourceError
from tracker.sources.http import LARGEST, get_json, session

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MEGABYTE = bytes(1_000_000)
ENOUGH = 200  # megabytes that a server sends at most
FOR_EVER = 60  # seconds that a server sends, unless the client hangs up


@pytest.fixture
def client():
    with session({}) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch):
    """Time limits as in earnest, fifty times as short."""
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http, "DEADLINE", 0.3)


def refused(client, url):
    """The SourceError that asking for ``url`` must raise."""
    with pytest.raises(SourceError) as refusal:
        get_json(client, url)
    assert len(str(refusal.value)) < 1_000
    return refusal.value


def assert_still_usable(client, server):
    """Whatever happened, the next answer is a good one's."""
    server.settle()
    server.says(b'{"result": 1}')
    with mock.patch.multiple(http, READ_TIMEOUT=10, DEADLINE=15):
        assert get_json(client, server.url) == {"result": 1}


def given_up(ask):
    """What ``ask`` returns, long before the server ends."""
    started = time.monotonic()
    result = ask()
    assert time.monotonic() - started < FOR_EVER / 3
    return result


def peak_of(ask):
    """What ``ask`` returns, and the bytes it had allocated at most."""
    tracemalloc.start()
    try:
        return ask(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Right answers


@pytest.mark.parametrize("document", [{"result": [1, 2.5, "three", None]}, [], 0, "text", None])
def test_a_document_is_what_was_said(client, server, document):
    server.says(json.dumps(document).encode())
    assert get_json(client, server.url) == document


def test_a_packed_document_is_unpacked(client, server):
    server.says(gzip.compress(b'{"result": 1}'), Content_Encoding="gzip")
    assert get_json(client, server.url) == {"result": 1}


def test_a_document_in_chunks_is_put_together(client, server):
    server.sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\n[1, \r\n", b"2\r\n2]\r\n", b"0\r\n\r\n")
    assert get_json(client, server.url) == [1, 2]


def test_a_document_that_ends_with_the_connection_is_whole(client, server):
    server.sends(HEAD + b"\r\n[1, 2]")
    assert get_json(client, server.url) == [1, 2]


def test_a_large_document_within_the_limit_is_taken(client, server):
    document = list(range(900_000))
    server.says(gzip.compress(json.dumps(document).encode(), 1), Content_Encoding="gzip")
    assert get_json(client, server.url) == document


def test_parameters_and_headers_are_sent(server):
    server.says(b"{}")
    get_json(session({"X-Key": "k"}), server.url + "/path", {"after": 60, "cursor": "a/b=&"})
    assert server.asked == ["/path?after=60&cursor=a%2Fb%3D%26"]
    assert server.headers["X-Key"] == "k"
    assert server.headers["Accept"] == "application/json"


REQUESTS = [
    ("/a", None),
    ("/b?c=d", {"e": "f g/&=ü"}),
    ("/ü/%20 x", {"many": [1, "2"], "none": None, "number": 1.5}),
    ("/a", {"text": "ü +%20"}),
    ("", {}),
    ("/a?b#c", None),
    ("/a", {"after": 60}),
]


@pytest.mark.parametrize("first", range(len(REQUESTS)))
def test_what_is_fetched_is_asked_for_as_get_would(server, first):
    server.says(b"[]")
    port = server.url.rpartition(":")[2]
    with session({"X-Key": "k"}) as client, session({"X-Key": "k"}) as other:
        for path, params in REQUESTS[first:] + REQUESTS[:first]:
            for host in ("127.0.0.1", "localhost"):
                url = f"http://{host}:{port}{path}"
                sent = []
                for ask in (client.fetch, lambda url, params: other.get(url, params=params)):
                    answer = ask(url, params)
                    sent.append((server.asked[-1], server.headers, answer.url, answer.json()))
                assert sent[0] == sent[1]


@pytest.mark.parametrize("url", ["http://", "http://a b/", "http://[::1", "nothing", "ftp://x", ""])
def test_after_a_url_that_is_none_the_next_is_fetched(client, server, url):
    server.says(b"[]")
    for _ in range(2):
        assert refused(client, url).reason == "unreachable"
        assert get_json(client, server.url + "/a", {"b": 1}) == []
    assert server.asked == ["/a?b=1"] * 2
    assert server.headers["Host"] == server.url.removeprefix("http://")


def test_a_connection_is_used_again(client, server):
    ports = set()

    def answer(request):
        ports.add(request.client_address[1])
        request.wfile.write(HEAD + b"Content-Length: 2\r\n\r\n{}")

    server.answer = answer
    for _ in range(5):
        get_json(client, server.url)
    assert len(ports) == 1


def test_the_servers_cookies_are_not_kept(client, server):
    server.says(b"{}", Set_Cookie="name=" + "x" * 4_000)
    get_json(client, server.url)
    get_json(client, server.url)
    assert "Cookie" not in server.headers
    assert len(client.cookies) == 0


# What is no document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Just a moment...</body></html>",
        b'{"result": [1, 2',
        b'{"result": NaN}',
        b'{"result": Infinity}',
        b'{"result": 1}{"result": 2}',
        b'{"result": "\xff\xfe"}',
        b'{"result": "\\ud800"}',
        b"[" * 100_000,
        b"\x00" * 100,
        b"1" * 100_000 + b"x",
    ],
    ids=["nothing", "html", "truncated", "NaN", "Infinity", "two", "no UTF-8", "surrogate", "deep", "zeros", "digits"],
)
def test_what_is_no_json_is_refused(client, server, body):
    server.says(body)
    error = refused(client, server.url)
    assert error.reason == "not_json"
    assert server.url in str(error)
    assert_still_usable(client, server)


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 418, 429, 451, 500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [b"<html>Error</html>", b'{"error": "Exchange not found"}', b""])
def test_another_status_is_refused_by_its_number(client, server, status, body):
    server.says(b"" if status in (204, 304) else body, status)
    error = refused(client, server.url)
    assert error.reason == f"http_{status}"
    if body and status not in (204, 304):
        assert body.decode() in str(error)
    assert_still_usable(client, server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://127.0.0.1:1/", "file:///etc/passwd", "http://[::1", "\xff", ""]
)
def test_redirects_are_not_followed(client, server, status, location):
    server.says(b"moved", status, Location=location)
    assert refused(client, server.url).reason == f"http_{status}"
    assert server.asked == ["/"]
    assert_still_usable(client, server)


# Cut short


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


# Too long


def megabytes(request, each=lambda piece: piece):
    """Sends many, until the other side has had enough."""
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


# Too slow


def dripping(head, drop=b" "):
    """Sends ``head`` and then drop after drop, sooner than a read times out, until the client hangs up."""

    def answer(request):
        request.close_connection = True
        request.wfile.write(head)
        for _ in range(int(FOR_EVER / 0.02)):
            request.wfile.write(drop)
            time.sleep(0.02)

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


# What else an answer says


@pytest.mark.parametrize(
    ("status", "headers", "body", "low", "high"),
    [
        (429, {"Retry_After": "7"}, b"", 7, 7),
        (429, {}, b"", 60, 60),
        (429, {"Retry_After": "soon"}, b"", 60, 60),
        (429, {"Retry_After": "-5"}, b"", 60, 60),
        (429, {"Retry_After": "9" * 30}, b"", 259_200, 259_200),
        (429, {"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", 60, 60),
        (503, {"Retry_After": formatdate(time.time() + 9_000, usegmt=True)}, b"", 1, 9_000),
        (503, {}, b"", 0, 0),
        (418, {}, b"", 120, 120),
        (418, {}, b'{"msg":"IP banned until %d."}' % ((time.time() + 9_000) * 1_000), 1, 9_000),
        (418, {}, b'{"msg":"IP banned until 1659761931230."}', 0, 0),
        (404, {}, b"", 0, 0),
    ],
)
def test_a_pause_that_is_asked_for_is_told(client, server, status, headers, body, low, high):
    server.says(body, status, **headers)
    with pytest.raises(SourceError) as refused:
        get_json(client, server.url)
    assert low <= refused.value.wait <= high
    assert not refused.value.permanent


@pytest.mark.parametrize(("status", "permanent"), [(451, True), (401, True), (403, False), (404, False), (500, False)])
def test_what_no_retry_mends_is_told(client, server, status, permanent):
    server.says(b"", status)
    with pytest.raises(SourceError) as refused:
        get_json(client, server.url)
    assert refused.value.permanent == permanent


@pytest.mark.parametrize("ahead", [0, 30, -3_600])
def test_the_servers_clock_is_compared_with_ours(client, server, ahead):
    def answer(request):
        request.send_response_only(200)
        request.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"[]")

    server.answer = answer
    get_json(client, server.url)
    assert abs(client.skew - ahead) < 3


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 99999999999 07:28:00 GMT"]
)
def test_a_date_that_is_none_compares_nothing(client, server, date):
    def answer(request):
        request.send_response_only(200)
        request.send_header("Date", date)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"[]")

    server.answer = answer
    get_json(client, server.url)
    assert client.skew is None


def test_every_request_is_paid_for_before_it_is_sent(server):
    server.says(b"[]")
    paid = []

    def pay(url):
        paid.append(url)
        if len(paid) > 1:
            raise MustWait(1, "spent")

    with session({}, pay) as client:
        get_json(client, server.url + "/a", {"b": 1})
        with pytest.raises(MustWait):
            get_json(client, server.url + "/a")
    assert paid == [f"{server.url}/a?b=1", f"{server.url}/a"]
    assert server.asked == ["/a?b=1"]
