"""A real nginx with the shipped configuration, in front of a real API."""

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from api.serving import zstd
from tests.support.http_server import HttpServer
from tests.support.served import served
from tests.support.servers import wait_for, wait_for_room
from tests.support.site import nginx
from tests.support.tracked import RING, Tracked, market, spread
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.store.api_keys import Keys

pytestmark = [pytest.mark.slow, pytest.mark.program("nginx"), pytest.mark.program("openssl")]

URL = "/v1/metrics/kraken:ethbtc:volume"


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    """A filled store, some seconds before the slot and with it all kept answers end."""
    wait_for_room()
    now, ids = time.time(), ["kraken:ethbtc", "kraken:ltcbtc", "kraken:xmrbtc", "kraken:zecbtc"]
    tracked.store.watch("simulator", [market(id) for id in ids])
    for id in ids:
        tracked.put(id, spread(1_000, 50), RING.slots(now))
    pipeline.evaluate(tracked.store, Outbox(tracked.store.redis), (), ids, now)
    return tracked


def test_the_site_caches_what_the_api_says_in_each_coding(filled: Tracked, tmp_path: Path) -> None:
    with served(filled.url, TRUSTED_PROXIES="1", INTERVAL="3600") as api, nginx(tmp_path, api) as site:
        direct = requests.get(api + "/v1/metrics?field=volume", timeout=30)
        decode = {"": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}
        for coding, sent in (("", ""), ("gzip", "gzip, deflate"), ("zstd", "gzip, deflate, br, zstd")):
            statuses: list[str] = []
            while "HIT" not in statuses:
                answer = site.get("/v1/metrics?field=volume", Accept_Encoding=sent)
                assert answer.headers.get("Content-Encoding", "") == coding
                assert decode[coding](answer.raw.read()) == direct.content
                statuses.append(answer.headers["X-Cache-Status"])
                assert len(statuses) < 20, statuses
            assert statuses[0] == "MISS"
            known = site.get("/v1/metrics?field=volume", Accept_Encoding=sent, If_None_Match=answer.headers["ETag"])
            assert (known.status_code, known.raw.read()) == (304, b"")
            assert known.headers["Cache-Control"] == "no-cache"
            assert known.headers["X-Content-Type-Options"] == "nosniff"
        assert site.get(URL, Accept="text/csv").headers["Content-Type"] == "text/csv; charset=utf-8"
        assert site.get(URL).headers["Content-Type"] == "application/json"
        assert site.get("/docs", Accept="text/html").status_code == 200


def test_the_site_serves_what_it_keeps_while_the_api_is_away_and_says_so_of_the_rest(
    filled: Tracked, tmp_path: Path
) -> None:
    with served(filled.url, TRUSTED_PROXIES="1") as api:
        before, stack = None, nginx(tmp_path, api)
        site = stack.__enter__()
        before = site.get(URL).content
    try:
        again = site.get(URL)
        assert (again.status_code, again.content) == (200, before)
        rest = site.get("/v1/metrics")
        assert (rest.status_code, rest.headers["Content-Type"]) == (503, "application/problem+json")
        assert rest.json()["status"] == 503 and rest.headers["Retry-After"]
    finally:
        stack.__exit__(None, None, None)


def test_the_site_keeps_nothing_for_longer_than_was_last_said(server: HttpServer, tmp_path: Path) -> None:
    server.says(b"", 304, Cache_Control="no-cache")
    same = server.answer
    server.says(b"one", Cache_Control="no-cache")
    whole = server.answer

    def confirm(request: BaseHTTPRequestHandler) -> None:
        (same if request.headers.get("If-None-Match") == '"1"' else whole)(request)

    server.says(b"one", ETag='"1"', Cache_Control="public, max-age=2")
    with nginx(tmp_path, server.url) as site:
        assert site.get(URL).headers["X-Cache-Status"] == "MISS"
        asked, server.answer = server.asked.count(URL), confirm
        wait_for(lambda: site.get(URL).headers["X-Cache-Status"] != "HIT", "it is due")
        wait_for(lambda: server.asked.count(URL) > asked, "it was asked for again")
        server.says(b"two", Cache_Control="public, max-age=2")
        assert site.get(URL).headers["X-Cache-Status"] != "HIT"
        wait_for(lambda: site.get(URL).content == b"two", "the new one is here")


@pytest.mark.parametrize(
    ("allowed", "status", "found"),
    [
        ("", 200, (200, b"two")),
        ("stale-while-revalidate=60", 200, (200, b"one")),
        ("stale-if-error=60", 200, (200, b"two")),
        ("stale-if-error=60", 503, (200, b"one")),
        ("", 503, (200, b"one")),  # the store is away: one process has a kept answer, another has none
        ("stale-if-error=60", None, (200, b"one")),
        ("", None, (503, None)),
    ],
)
def test_the_site_serves_what_is_due_where_the_api_allows_it(
    server: HttpServer, tmp_path: Path, allowed: str, status: int | None, found: tuple[int, bytes | None]
) -> None:
    server.says(b"one", Cache_Control=f"public, max-age=1, {allowed}")
    with nginx(tmp_path, server.url) as site:
        assert site.get(URL).content == b"one"
        if status:
            server.says(b"two", status)
        else:
            server.sends(b"")
        [due] = wait_for(lambda: (got := site.get(URL)).headers.get("X-Cache-Status") != "HIT" and [got], "it is due")
        assert due.status_code == found[0]
        assert due.content == found[1] if found[1] else due.json()["status"] == 503


def test_nobody_waits_at_the_site_for_the_answer_to_another(server: HttpServer, tmp_path: Path) -> None:
    server.says(b"")
    answered, at_once = threading.Event(), server.answer

    def answer(request: BaseHTTPRequestHandler) -> None:
        answered.wait(30)
        at_once(request)

    with nginx(tmp_path, server.url) as site, ThreadPoolExecutor(2) as threads:
        server.answer = answer
        try:
            found = threads.map(lambda _: site.get(URL).status_code, range(2))
            wait_for(lambda: server.asked.count(URL) == 2, "both have asked", 4)
        finally:
            answered.set()
        assert list(found) == [200, 200]


def test_the_site_tells_clients_apart_and_lets_nobody_write_without_a_key(filled: Tracked, tmp_path: Path) -> None:
    with served(filled.url, TRUSTED_PROXIES="1") as api, nginx(tmp_path, api) as site:
        assert site.get(URL, "POST").status_code == 403
        assert site.get(URL, "POST", X_Forwarded_For="127.0.0.1", Host="localhost").status_code == 403
        admin = Keys(filled.store.redis).create("a", "admin", 0)
        wait_for(lambda: site.get(URL, "POST", Authorization=f"Bearer {admin}").status_code == 405, "the key is known")
        wait_for(lambda: site.get(URL, "POST").status_code == 401, "the API wants a key")
        # and plain HTTP is redirected to TLS
        plain = requests.get(f"http://127.0.0.1:{site.plain}{URL}", allow_redirects=False, timeout=30)
        assert (plain.status_code, plain.headers["Location"]) == (301, f"https://127.0.0.1{URL}")


def test_the_site_limits_what_one_address_asks(filled: Tracked, tmp_path: Path) -> None:
    with (
        served(filled.url, TRUSTED_PROXIES="1") as api,
        nginx(tmp_path, api) as site,
        ThreadPoolExecutor(16) as threads,
    ):
        # the site allows a burst of 100 and then 20 a second; any machine asks faster
        found = list(threads.map(lambda _: site.get(URL), range(1_000)))

    assert {answer.status_code for answer in found} == {200, 429}
    refused = next(answer for answer in found if answer.status_code == 429)
    assert refused.headers["Content-Type"] == "application/problem+json" and refused.headers["Retry-After"]
    assert refused.json()["status"] == 429
