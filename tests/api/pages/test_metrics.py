"""The page for Prometheus: what it tells, with and without a store, and who may read it."""

import re
import time
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families
from pytest import approx
from redis import Redis

from api import create_app
from tests.support.servers import StoreServer, free_port
from tests.support.tracked import Tracked
from tracker.alerts.outbox import Outbox
from tracker.models import Delivery
from tracker.settings import load
from tracker.store import parts, queues


def test_it_tells_the_state_of_sources_and_store_and_names_no_market(store_server: StoreServer, redis: Redis) -> None:
    tracked = Tracked(store_server.url)
    tracked.fill(["kraken:btcusd", "kraken:ethusd"])
    tracked.store.failed("simulator", tracked.now, "http_503", "no")
    text = tracked.client.get("/metrics").text
    assert "tracker_store_up 1.0" in text
    assert 'tracker_watched_markets{source="simulator"} 2.0' in text
    assert 'tracker_newest_sample_age_seconds{source="simulator"} 20.0' in text
    assert 'tracker_sample_age_limit_seconds{source="simulator"} 180.0' in text
    assert 'tracker_interval_seconds{source="simulator"} 60.0' in text
    assert 'tracker_refused_total{reason="http_503",source="simulator"} 1.0' in text
    assert 'tracker_breaker_open{source="simulator"} 0.0' in text
    assert re.search(r"^tracker_store_memory_bytes [1-9]", text, re.MULTILINE)
    assert "btcusd" not in text


def test_it_counts_the_workers_of_each_queue_that_are_at_work(store_server: StoreServer, redis: Redis) -> None:
    queues.note_lengths(redis, {"fetch": 0, "notify": 0}, 1.0)
    for name, idle in (("a", 0.0), ("b", 0.0), ("hangs", 3_600.0)):
        part = parts.this("worker", name, ["fetch", "evaluate"], began=0.0, idle=idle)
        parts.write(redis, replace(part, host=name))
    text = Tracked(store_server.url).client.get("/metrics").text
    found = dict(re.findall(r'^tracker_queue_workers{queue="(\w+)"} (.+)$', text, re.MULTILINE))
    assert found == {"fetch": "2.0", "evaluate": "2.0", "notify": "0.0"}


def test_without_a_store_it_answers_and_says_so() -> None:
    answer = create_app(load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})).test_client().get("/metrics")
    assert answer.status_code == 200 and "tracker_store_up 0.0" in answer.text


def test_only_this_machine_reads_it_without_a_key(store_server: StoreServer, redis: Redis) -> None:
    client = Tracked(store_server.url).client
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).status_code == 401
    assert client.get("/v1/metrics", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).status_code == 200


def test_it_tells_what_waits_which_parts_run_and_when_a_tick_came(store_server: StoreServer, redis: Redis) -> None:
    tracked = Tracked(store_server.url)
    tracked.store.note("simulator", last_tick=tracked.now - 7)
    queues.note_lengths(redis, {"fetch": 3, "notify": 0}, time.time() - 100)
    parts.write(redis, parts.this("worker", "w", ["fetch"], 0, idle=1))
    parts.write(redis, parts.this("beat", "b", [], 0, idle=1_000))
    outbox = Outbox(redis, lambda: time.time() - 50)
    outbox.deliveries.add(redis, Delivery("jump:x:ab:price:60", "phone", "firing"))
    text = tracked.client.get("/metrics").text
    found = {
        sample.name + "".join(f" {sample.labels[name]}" for name in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["tracker_last_tick_age_seconds simulator"] == 7
    assert (found["tracker_queue_length fetch"], found["tracker_queue_length notify"]) == (3, 0)
    assert found["tracker_queue_oldest_age_seconds fetch"] == approx(100, abs=10)
    assert found["tracker_queue_oldest_age_seconds notify"] == 0
    assert found["tracker_queues_seen_age_seconds"] == approx(100, abs=10)
    assert found["tracker_oldest_pending_delivery_seconds"] == approx(50, abs=10)
    expected = {"worker working": 1, "worker idle": 0, "beat idle": 1, "api idle": 0}
    assert {each: found[f"tracker_parts {each}"] for each in expected} == expected
