"""How far a round of the canary came, what Prometheus sees of it, and how the receiver is told."""

import subprocess
import sys

import pytest
from redis import Redis

from tests.support.http_server import HttpServer
from tests.support.servers import StoreServer, free_port
from tests.support.stack import CLEAN, ROOT
from tracker.metrics import metrics_page
from tracker.settings import load
from tracker.store.canary import STAGES, Canary
from tracker.store.series import Store


def test_the_first_stage_that_the_newest_round_did_not_reach_is_missing(redis: Redis) -> None:
    canary = Canary(redis)
    assert canary.missing() == ""
    for round in (60, 120):
        for stage, following in zip(STAGES, [*STAGES[1:], ""], strict=True):
            canary.reached(stage, round)
            assert canary.missing() == following


def test_its_age_counts_from_the_newest_round_that_passed(redis: Redis) -> None:
    canary = Canary(redis)
    assert canary.age(1_000) is None
    for stage in STAGES:
        canary.reached(stage, 60)
    canary.reached(STAGES[0], 120)
    assert canary.age(150) == 90
    assert canary.age(50) == 0


def test_prometheus_sees_its_age_where_it_is_on(redis: Redis, store_server: StoreServer) -> None:
    Canary(redis).reached(STAGES[-1], 60)

    def page(**variables: str) -> bytes:
        settings = load({"REDIS_URL": store_server.url, **variables})
        return metrics_page(Store(redis, settings.ring), settings).read()

    assert b"\ntracker_canary_age_seconds " in page(HEARTBEAT_URL="http://127.0.0.1/ping")
    assert b"tracker_canary_age_seconds" not in page()


def said_of(url: str) -> str:
    """What a process logs that tells ``url`` of a failure."""
    code = "from tracker.canary import ping; ping('/fail', 'why')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=CLEAN | {"HEARTBEAT_URL": url}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_a_ping_goes_below_the_path_and_keeps_the_query() -> None:
    with HttpServer() as receiver:
        receiver.says(b"OK")
        assert said_of(f"{receiver.url}/ping/5c0ffee5?create=1") == ""
        assert [(post.path, post.body) for post in receiver.posts] == [("/ping/5c0ffee5/fail?create=1", b"why")]


@pytest.mark.slow  # several processes
def test_a_ping_that_fails_is_told_without_the_secret_in_its_url() -> None:
    with HttpServer() as receiver:
        for status in (404, 302, 500):
            receiver.says(b"5c0ffee5", status, Location=f"{receiver.url}/5c0ffee5")
            said = said_of(f"{receiver.url}/ping/5c0ffee5")
            assert f"answered {status}" in said and "5c0ffee5" not in said
    said = said_of(f"http://127.0.0.1:{free_port()}/ping/5c0ffee5")
    assert "did not answer: ConnectionError" in said and "5c0ffee5" not in said
