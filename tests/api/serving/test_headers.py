"""No header field of a request makes the API fail with status 500."""

from dataclasses import replace
from typing import Any
from wsgiref.types import WSGIApplication

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ, run_wsgi_app

from api import create_app
from tests.support.tracked import Tracked
from tracker.store.api_keys import Keys

METRIC = "metrics/kraken:ethbtc:volume"
PATHS = ["/", "/v1", "/v1/metrics", f"/v1/{METRIC}", f"/latest/{METRIC}", "/v1/silences", "/v1/deliveries/redrive"]
PATHS += ["/healthz", "/v1/openapi.json", "/docs", "/static/main.js", "/v1/alerts/x/acknowledge", "/nothing"]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
NAMES = [
    *("Host", "Origin", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Range", "If-Range"),
    *("If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since", "Accept", "Accept-Encoding", "Cookie"),
    *("Accept-Language", "Authorization", "X-API-Key", "Content-Encoding", "Transfer-Encoding", "Expect"),
    *("Access-Control-Request-Method", "Cache-Control", "X-HTTP-Method-Override"),
]
FIELDS = ["HTTP_" + name.replace("-", "_").upper() for name in NAMES]
FIELDS += ["CONTENT_TYPE", "CONTENT_LENGTH", "QUERY_STRING", "REMOTE_ADDR"]
#: Values that parsers fail on: half a bracket, no number, no end, too much, and bytes that are not ASCII.
STUMBLES = [
    *("[::1", "http://[", "http://[::1]:x", "localhost:99999999", "::", "a:b:c", "2001:db8::%eth0", "unknown,,x"),
    *("bytes=", "bytes=-", "bytes=9-1", "bytes=0-0,5-", "q=;q", "text/csv;q=x", "gzip;q=nan", "zstd;q=1e999"),
    *("*/*;q=-1", "W/", '"', '"a', "*", "=", ";", ",", "a=b;c", "Bearer", "Bearer \xe9\xff", "Basic \xff", "-1", "1e3"),
    *('text/html;charset="', "application/json;charset=none", "multipart/form-data", "multipart/form-data;boundary="),
    *("application/x-www-form-urlencoded", "chunked", "%", "&&&=", "q=%ff%fe&limit=%00", "since=\xb2", "since=9e9"),
    *("Thu, 99 Foo 2026 99:99:99 GMT", "Thu, 01 Jan 0000 00:00:00 GMT", "", "\t", "\x85", "9" * 400, "." * 400),
]
BODIES = [b"", b"{", b"{}", b"[]", b"null", b"\xff", b'{"match": ["x"], "until": 1e999, "reason": "x"}', b"[" * 3_000]
VALUES = st.sampled_from(STUMBLES) | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """The WSGI environment of a request with one to four odd fields."""
    environ = create_environ(
        draw(st.sampled_from(PATHS)),
        method=draw(st.sampled_from(METHODS)),
        data=draw(st.sampled_from(BODIES)),
        content_type="application/json",
    )
    return environ | draw(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=4))


@pytest.fixture
def alone(tracked: Tracked) -> WSGIApplication:
    """An API while no key exists."""
    tracked.fill(["kraken:ethbtc"])
    return create_app(tracked.settings).wsgi_app


@pytest.fixture
def public(tracked: Tracked) -> WSGIApplication:
    """An API behind a proxy, with CORS and a rate limit. Every request carries a key that may write."""
    tracked.fill(["kraken:ethbtc"])
    key = Keys(tracked.store.redis).create("a", "admin", 0)
    settings = replace(tracked.settings, trusted_proxies=1, api_cors=("https://a.example",), api_rate=1_000_000)
    app = create_app(settings).wsgi_app
    return lambda environ, start: app({"HTTP_AUTHORIZATION": f"Bearer {key}"} | environ, start)


@pytest.mark.parametrize(
    ("method", "field", "value", "status"),
    [
        ("POST", "HTTP_HOST", "[::1", 403),
        ("POST", "HTTP_ORIGIN", "http://[", 403),
        ("GET", "HTTP_HOST", "[::1", 200),
        ("GET", "HTTP_HOST", "x" * 64, 200),  # a label of a host name has at most 63 characters
        ("GET", "QUERY_STRING", "q=\xff", 400),
    ],
)
def test_a_field_that_is_no_such_thing(
    alone: WSGIApplication, method: str, field: str, value: str, status: int
) -> None:
    environ = create_environ("/v1/metrics", method=method) | {field: value}
    assert int(run_wsgi_app(alone, environ)[1][:3]) == status


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environ=requests())
def test_no_field_makes_the_api_fail(alone: WSGIApplication, environ: dict[str, Any]) -> None:
    assert run_wsgi_app(alone, environ)[1] < "500"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environ=requests())
def test_no_field_makes_the_api_fail_for_those_who_may_write(public: WSGIApplication, environ: dict[str, Any]) -> None:
    assert run_wsgi_app(public, environ)[1] < "500"
