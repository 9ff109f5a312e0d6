"""Requests are counted by route and status. No path, which a client chooses, is a label."""

import pytest
from prometheus_client import REGISTRY
from redis import Redis

from api.serving.counted import Counted
from api.serving.request_log import RequestLog
from tests.support.counting import counts
from tests.support.servers import StoreServer
from tests.support.tracked import Tracked

COUNT = "tracker_api_request_seconds_count"


@pytest.fixture
def tracked(store_server: StoreServer, redis: Redis) -> Tracked:
    tracked = Tracked(store_server.url)
    tracked.fill(["kraken:btcusd", "kraken:ethusd"])
    return tracked


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/v1/metrics", "/v1/metrics", "200"),
        ("/v1/metrics/kraken:btcusd:price", "/v1/metrics/<id>", "200"),
        ("/v1/metrics/kraken:nothing:price", "/v1/metrics/<id>", "404"),
        ("/latest/metrics?limit=x", "/latest/metrics", "422"),
        ("/static/no/such.js", "/static/<path:name>", "404"),
        ("/no/such/path", "other", "404"),
        (f"/{'x' * 1_000}", "other", "404"),
        ("/v1/silences/x", "other", "405"),
        ("/v1/metrics/%ff%fe", "/v1/metrics/<id>", "404"),
    ],
)
def test_a_request_counts_for_its_route(tracked: Tracked, path: str, route: str, status: str) -> None:
    client = tracked.client
    for _ in range(2):
        with counts(COUNT, route=route, status=status):
            assert client.get(path).status_code == int(status)


def test_a_refused_request_and_an_error_count_too(tracked: Tracked) -> None:
    with counts(COUNT, route="/metrics", status="401"):
        tracked.client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.7"})

    def broken(*_: object) -> list[bytes]:
        raise ZeroDivisionError

    app = tracked.client.application
    with counts(COUNT, route="/v1/metrics", status="500"), pytest.raises(ZeroDivisionError):
        log = RequestLog(broken, Counted(app.url_map))
        log({"PATH_INFO": "/v1/metrics", "REQUEST_METHOD": "GET"}, lambda *_: None)


def test_the_cache_counts_what_it_had_and_what_not(tracked: Tracked) -> None:
    client = tracked.client
    with counts("tracker_api_cache_total", result="miss"):
        client.get("/v1/metrics")
    with counts("tracker_api_cache_total", result="hit"), counts("tracker_api_cache_total", 0, result="miss"):
        client.get("/v1/metrics")
    with counts("tracker_api_cache_total", 0, result="miss"):
        client.get("/healthz")


def test_no_label_is_what_a_client_sent(tracked: Tracked) -> None:
    for number in range(20):
        tracked.client.get(f"/v1/metrics/kraken:made-up{number}:price")
    labels = {value for family in REGISTRY.collect() for sample in family.samples for value in sample.labels.values()}
    assert not [value for value in labels if "made-up" in value]
