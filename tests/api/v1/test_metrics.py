"""The list of metrics and single metrics, with a real store."""

import time

import numpy as np
import orjson
import pytest
import requests
from pydantic import BaseModel

from api.v1 import schemas
from tests.support.served import served
from tests.support.tracked import NOW, RING, SLOTS, Tracked, market, spread
from tracker import pipeline
from tracker.alerts.outbox import Outbox

MISSION = ("bancor:bntbtc", "bancor:goldbtc", "bancor:cbceth")
NUMBERS = ("last", "last_slot", "mean_1h", "mean_24h", "stddev_24h", "change_1h", "change_24h", "cv_24h")


def follows(schema: type[BaseModel], body: bytes) -> bool:
    """Whether an answer has all fields that the schema requires, with their types, and no unknown field."""
    return schema.model_validate_json(body, strict=True).model_dump(exclude_unset=True) == orjson.loads(body)


def test_the_missions_example_ranks_by_standard_deviation(tracked: Tracked) -> None:
    tracked.fill(MISSION)

    answers = [tracked.get(f"/v1/metrics/{id}:volume") for id in MISSION]

    assert [answer["stddev_24h"] for answer in answers] == [100, 200, 300]
    assert [answer["rank"]["text"] for answer in answers] == ["3/3", "2/3", "1/3"]
    assert answers[2]["rank"] == {"position": 1, "of": 3, "text": "1/3"}


def test_the_list_says_of_a_metric_what_its_series_says(tracked: Tracked) -> None:
    tracked.fill(MISSION)

    listed = tracked.get("/v1/metrics")

    assert listed["total"] == 6 and listed["next"] is None
    for row in listed["metrics"]:
        series = tracked.get(f"/v1/metrics/{row['id']}")
        assert row == {name: series[name] for name in row}


def test_a_series_has_every_slot_of_24_hours_and_the_one_in_progress(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", np.arange(1441.0))

    answer = tracked.get("/v1/metrics/kraken:ethbtc:volume")

    assert answer["values"] == list(range(1441))
    assert (answer["start"], answer["step"], answer["closed"]) == (SLOTS[0], 60, 1440)
    assert (answer["last"], answer["last_slot"]) == (1440, SLOTS[-1])
    assert answer["mean_24h"] == pytest.approx(np.arange(1440.0).mean())
    assert answer["mean_1h"] == pytest.approx(np.arange(1380.0, 1440).mean())
    assert answer["stddev_24h"] == pytest.approx(np.arange(1440.0).std())
    assert (answer["exchange"], answer["pair"], answer["field"]) == ("kraken", "ethbtc", "volume")


def test_the_unit_is_the_base_of_a_volume_and_the_quote_of_a_price(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")

    units = [tracked.get(f"/v1/metrics/kraken:ethbtc:{field}")["unit"] for field in ("volume", "price")]

    assert units == ["eth", "btc"]


def test_numbers_come_in_full_precision_and_missing_ones_as_null(tracked: Tracked) -> None:
    present = [0.1 + 0.2, 1e-17, 123456789.12345679]
    values = np.full(1441, np.nan)
    values[[0, 700, 1439]] = present
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", values)

    body = tracked.client.get("/v1/metrics/kraken:ethbtc:volume").data

    assert b"NaN" not in body
    assert [value for value in orjson.loads(body)["values"] if value is not None] == [
        0.1 + 0.2,
        1e-17,
        123456789.12345679,
    ]
    assert orjson.loads(body)["last_slot"] == SLOTS[1439]


def test_a_sample_one_slot_older_than_24_hours_is_not_served(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", np.array([7.0]), SLOTS[-1:])
    url, day = "/v1/metrics/kraken:ethbtc:volume", 86_400

    tracked.now = NOW + day
    kept = tracked.get(url)
    tracked.now = NOW + day + RING.step
    gone = tracked.get(url)

    assert kept["values"][0] == 7 and kept["start"] == SLOTS[-1]
    assert gone["values"] == [None] * 1441 and gone["last"] is None


def test_a_list_without_evaluations_forgets_after_24_hours_too(tracked: Tracked) -> None:
    tracked.fill(MISSION)

    tracked.now = NOW + 86_400 + RING.step
    rows = tracked.get("/v1/metrics")["metrics"]

    assert len(rows) == 6
    assert all(row[name] is None for row in rows for name in (*NUMBERS, "rank", "cv_rank"))


def test_a_metric_without_samples_is_all_null(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")

    for path in ("/v1/metrics/kraken:ethbtc:volume", "/v1/metrics?field=volume"):
        answer = tracked.get(path)
        row = answer if "values" in answer else answer["metrics"][0]
        assert all(row[name] is None for name in (*NUMBERS, "rank", "cv_rank"))
        assert set(row.get("values", [None])) == {None}


def test_a_sample_in_progress_alone_has_no_statistics_and_no_rank(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", np.array([7.0]), SLOTS[-1:])
    tracked.evaluate("kraken:ethbtc")

    answer = tracked.get("/v1/metrics/kraken:ethbtc:volume")

    assert [answer[name] for name in (*NUMBERS, "rank", "cv_rank")] == [7, SLOTS[-1], *[None] * 8]


def test_a_rank_whose_samples_have_left_the_window_is_not_served(tracked: Tracked) -> None:
    tracked.fill(["kraken:ethbtc"])
    url = "/v1/metrics/kraken:ethbtc:volume"

    tracked.now = NOW + 2 * 86_400
    without_samples = tracked.get(url)
    tracked.put("kraken:ethbtc", np.array([7.0]), RING.slots(tracked.now)[-1:])
    with_one_in_progress = tracked.get(url)

    assert without_samples["rank"] is None and without_samples["last"] is None
    assert with_one_in_progress["rank"] is None and with_one_in_progress["last"] == 7


def test_a_metric_no_longer_watched_is_there_without_a_unit_while_it_is_ranked(tracked: Tracked) -> None:
    tracked.fill(MISSION)
    tracked.watch(*MISSION[1:])

    answer = tracked.get(f"/v1/metrics/{MISSION[0]}:volume")
    listed = tracked.get("/v1/metrics")

    assert answer["unit"] is None and answer["rank"]["text"] == "3/3"
    assert listed["total"] == 6
    assert {row["id"]: row["unit"] for row in listed["metrics"]}[f"{MISSION[0]}:volume"] is None


def test_health_tells_how_fresh_the_store_and_each_source_are(tracked: Tracked) -> None:
    empty = tracked.get("/healthz")
    tracked.fill(MISSION)
    tracked.store.failed("simulator", NOW - 60, "timeout", "too slow")

    full = tracked.get("/healthz")

    ok = {"status": "ok", "ready": True, "reasons": [], "store": "ok", "replica": None}
    none = {"simulator": {"last_success": None, "last_error_at": None, "state": "waiting"}}
    assert empty == {**ok, "metrics": 0, "sources": none}
    known = {"simulator": {"last_success": SLOTS[-1], "last_error_at": NOW - 60, "state": "fresh"}}
    assert full == {**ok, "metrics": 6, "sources": known}


def test_every_link_of_the_index_leads_somewhere(tracked: Tracked) -> None:
    links = tracked.get("/v1")

    assert [tracked.client.get(path).status_code for path in links.values()] == [200] * len(links)


def test_answers_are_as_the_openapi_document_says(tracked: Tracked) -> None:
    tracked.fill(MISSION)
    tracked.watch(*MISSION[1:], "kraken:ethbtc")
    paths: dict[str, type[BaseModel]] = {
        "/v1": schemas.Index,
        "/healthz": schemas.Health,
        "/v1/metrics": schemas.Metrics,
        "/v1/metrics?limit=1": schemas.Metrics,
        "/v1/movers?field=volume": schemas.Movers,
        **{f"/v1/metrics/{id}:volume": schemas.Series for id in (*MISSION, "kraken:ethbtc")},
        **{f"/v1/markets/{id}?step=300": schemas.MarketSeries for id in (*MISSION, "kraken:ethbtc")},
    }

    for path, schema in paths.items():
        assert follows(schema, tracked.client.get(path).data), path


@pytest.mark.slow
def test_a_real_server_answers_and_refuses_like_the_app(tracked: Tracked) -> None:
    now = time.time()
    tracked.store.watch("simulator", [market("kraken:ethbtc")])
    tracked.put("kraken:ethbtc", spread(1_000, 50), RING.slots(now))
    pipeline.evaluate(tracked.store, Outbox(tracked.store.redis), (), ["kraken:ethbtc"], now)

    with served(tracked.url) as url:
        listed = requests.get(f"{url}/v1/metrics", timeout=5).json()
        series = requests.get(f"{url}/v1/metrics/kraken:ethbtc:volume", timeout=5)
        odd = ["%00", "%0A", "%22", "%F0%9F%98%80", "%FF", "%2F", "a/b", "//", "KRAKEN:ETHBTC:VOLUME", "a" * 10_000]
        refused = [requests.get(f"{url}/v1/metrics/{id}", timeout=5) for id in odd]
        too_long = requests.get(f"{url}/v1/metrics", headers={"X-Long": "x" * 100_000}, timeout=5)
        after = requests.get(f"{url}/healthz", timeout=5)

    assert listed["total"] == 2 and listed["metrics"][1]["rank"]["text"] == "1/1"
    assert (too_long.status_code, after.status_code) == (431, 200)
    assert follows(schemas.Series, series.content)
    assert series.headers["Content-Type"] == "application/json"
    assert {(answer.status_code, answer.headers["Content-Type"]) for answer in refused} == {
        (404, "application/problem+json")
    }
