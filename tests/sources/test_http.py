"""HTTP to sources: requests, valid answers, refused answers."""

import gzip
import json
import time
from email.utils import formatdate

import pytest

from tests.support.asking import HEAD, assert_still_usable, refused
from tracker.errors import MustWait, SourceError
from tracker.sources.http import get_json, session


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
        pytest.param(
            418, {}, b'{"msg":"IP banned until %d."}' % ((time.time() + 9_000) * 1_000), 1, 9_000, id="banned"
        ),
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
