"""A real nginx, configured by the file that is shipped, in front of a real API."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from backports import zstd

from tests.api.served import served
from tests.api.tracked import RING, Tracked, market, spread
from tests.servers import wait_for
from tests.site import nginx
from tracker import pipeline
from tracker.keys import Keys
from tracker.outbox import Outbox

pytestmark = [pytest.mark.program("nginx"), pytest.mark.program("openssl")]

URL = "/v1/metrics/kraken:ethbtc:volume"


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    """With some seconds to go to the end of the slot, when what is kept ends."""
    wait_for(lambda: time.time() % 60 < 50, "the next slot")
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


def test_the_site_tells_clients_apart_and_lets_nobody_write_without_a_key(filled: Tracked, tmp_path: Path) -> None:
    with served(filled.url, TRUSTED_PROXIES="1") as api, nginx(tmp_path, api) as site:
        assert site.get(URL, "POST").status_code == 403
        assert site.get(URL, "POST", X_Forwarded_For="127.0.0.1", Host="localhost").status_code == 403
        admin = Keys(filled.store.redis).create("a", "admin", 0)
        wait_for(lambda: site.get(URL, "POST", Authorization=f"Bearer {admin}").status_code == 405, "the key is known")
        assert site.get(URL, "POST").status_code == 401
        # and a plain request is sent to TLS
        plain = requests.get(f"http://127.0.0.1:{site.plain}{URL}", allow_redirects=False, timeout=30)
        assert (plain.status_code, plain.headers["Location"]) == (301, f"https://127.0.0.1{URL}")


def test_the_site_limits_what_one_address_asks(filled: Tracked, tmp_path: Path) -> None:
    with (
        served(filled.url, TRUSTED_PROXIES="1") as api,
        nginx(tmp_path, api) as site,
        ThreadPoolExecutor(16) as threads,
    ):
        # the burst of 100 and then more than 20 a second, on any machine that this runs on
        found = list(threads.map(lambda _: site.get(URL), range(1_000)))

    assert {answer.status_code for answer in found} == {200, 429}
    refused = next(answer for answer in found if answer.status_code == 429)
    assert refused.headers["Content-Type"] == "application/problem+json" and refused.headers["Retry-After"]
    assert refused.json()["status"] == 429
