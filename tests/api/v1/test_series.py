"""Series: `since`, coarser steps, markets, movers, and the alias of the newest version."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from apiflask import APIBlueprint
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client

from api import VERSIONS, create_app
from api.serving.answer import CSV, JSON
from api.serving.cache import KEEP
from api.v1 import markets
from api.v1.schemas import STEPS, SeriesQuery
from api.v1.series import FastPath
from api.v1.slices import cut
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.series.ring import Ring

URL = "/v1/metrics/kraken:ethbtc:volume"


@pytest.fixture
def counted(tracked: Tracked) -> Tracked:
    """A market with volumes 0, 1, 2, ... and a price of 2."""
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", np.arange(1441.0), price=2.0)
    tracked.evaluate("kraken:ethbtc")
    return tracked


@pytest.mark.parametrize("query", ["", "since=0", f"since={SLOTS[-3]}", f"since={2**40}"])
def test_the_short_way_says_what_flask_would(counted: Tracked, query: str) -> None:
    app, seen = create_app(counted.settings).extensions["cache"].app, {}

    def flask(environ: dict[str, Any], start_response: Callable) -> Any:
        try:
            return app(environ, start_response)
        finally:
            seen["keep"] = environ[KEEP]

    answer = Client(flask).get(f"{URL}?{query}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert FastPath(counted.settings, counted.store)(URL, query, JSON) == (answer.data, seen["keep"])


@pytest.mark.parametrize(
    ("path", "query", "type"),
    [
        (URL, "step=300", JSON),
        (URL, "since=-1", JSON),
        (URL, f"since={2**40 + 1}", JSON),
        (URL, "since=%2B1", JSON),
        (URL, "since=1&since=2", JSON),
        (URL, "", CSV),
        ("/v1/metrics/kraken:none:volume", "", JSON),
        ("/v1/metrics/none", "", JSON),
        ("/v1/metrics/", "", JSON),
        ("/v1/metrics", "", JSON),
    ],
)
def test_what_is_not_short_or_not_well_is_left_to_flask(counted: Tracked, path: str, query: str, type: str) -> None:
    assert FastPath(counted.settings, counted.store)(path, query, type) is None


@pytest.mark.parametrize("path", [URL, URL.replace("v1", "latest")])
def test_a_series_is_answered_the_short_way(counted: Tracked, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = create_app(counted.settings).extensions["cache"]
    monkeypatch.setattr(cached, "app", None)
    assert Client(cached).get(path).status_code == 200
    assert Client(cached).head(f"{path}?since=0").headers["ETag"]


def test_since_gives_what_begins_then_or_later(counted: Tracked) -> None:
    whole = counted.get(URL)
    part = counted.get(f"{URL}?since={SLOTS[-3]}")

    assert (part["start"], part["closed"], part["final"], part["values"]) == (SLOTS[-3], 2, 2, [1438, 1439, 1440])
    window = {"start", "closed", "final", "values"}
    assert {name: part[name] for name in part.keys() - window} == {name: whole[name] for name in whole.keys() - window}


def test_since_between_two_slots_begins_with_the_later(counted: Tracked) -> None:
    assert counted.get(f"{URL}?since={SLOTS[-2] + 1}")["values"] == [1440]


def test_since_before_the_window_gives_all_of_it(counted: Tracked) -> None:
    assert counted.get(f"{URL}?since=0") == counted.get(URL)


def test_since_the_future_gives_nothing(counted: Tracked) -> None:
    answer = counted.get(f"{URL}?since={2**40}")
    assert (answer["values"], answer["closed"], answer["final"]) == ([], 0, 0)
    assert answer["start"] == SLOTS[-1] + 60


def test_asking_since_the_first_slot_that_is_not_final_gets_each_slot_in_the_end(counted: Tracked) -> None:
    answer = counted.get(URL)
    known = dict(zip(range(answer["start"], NOW_SLOT + 1, 60), answer["values"], strict=True))
    counted.now = NOW + 180
    counted.put("kraken:ethbtc", np.array([7.0, 8, 9, 10]), SLOTS[-1] + 60 * np.arange(4), price=2.0)

    news = counted.get(f"{URL}?since={answer['start'] + answer['final'] * answer['step']}")
    known |= {news["start"] + 60 * at: value for at, value in enumerate(news["values"])}

    whole = counted.get(URL)
    assert [known[whole["start"] + 60 * at] for at in range(1441)] == whole["values"]


def test_a_slot_that_has_ended_is_not_final_until_its_source_was_asked_again(counted: Tracked) -> None:
    # given a market that was fetched within a minute that is over now
    counted.now = NOW + 60
    answer = counted.get(URL)
    assert (answer["closed"], answer["final"], answer["values"][1439]) == (1440, 1439, 1440)
    assert answer["mean_24h"] == np.mean(np.arange(1, 1440))
    coarse = counted.get(f"{URL}?step=300")
    assert coarse["start"] + 300 * coarse["final"] <= SLOTS[-1]
    # when it is fetched again
    counted.put("kraken:ethbtc", np.array([1_500.0, 7.0]), SLOTS[-1] + 60 * np.arange(2))
    # then
    answer = counted.get(URL)
    assert (answer["closed"], answer["final"], answer["values"][1439]) == (1440, 1440, 1500)
    assert answer["mean_24h"] == pytest.approx(np.mean([*range(1, 1440), 1_500]))


NOW_SLOT = int(SLOTS[-1])


@pytest.mark.parametrize(("aggregate", "value"), [("mean", 2), ("min", 0), ("max", 4), ("last", 4)])
def test_a_coarser_step_is_made_of_its_slots(tracked: Tracked, aggregate: str, value: float) -> None:
    # given values 0..4 in each five minutes, and a window that begins within five minutes
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", SLOTS // 60 % 5.0)

    answer = tracked.get(f"{URL}?step=300&aggregate={aggregate}")

    assert answer["start"] % 300 == 0 and 0 <= answer["start"] - SLOTS[0] < 300
    assert answer["values"][: answer["closed"]] == [value] * answer["closed"]
    assert answer["start"] + answer["closed"] * 300 <= SLOTS[-1] < answer["start"] + len(answer["values"]) * 300


@given(
    now=st.floats(1e9, 2e9),
    step=st.sampled_from(STEPS),
    aggregate=st.sampled_from(["mean", "min", "max", "last"]),
    since=st.one_of(st.none(), st.integers(-100_000, 100_000)),
    seed=st.integers(0, 2**32 - 1),
    behind=st.integers(0, 1_440),
)
def test_a_cut_is_what_plain_loops_find(
    now: float, step: int, aggregate: str, since: int | None, seed: int, behind: int
) -> None:
    # given a window with gaps
    random, ring = np.random.default_rng(seed), Ring()
    values = random.uniform(1, 2, ring.rows)
    values[random.random(ring.rows) < random.choice([0, 0.3, 0.99])] = np.nan
    asked = SeriesQuery(since=None if since is None else int(now) + since, step=step, aggregate=aggregate)
    # when
    found = cut(values[None], ring.rows - 1 - behind, ring, now, asked)
    # then
    slots = {int(slot): value for slot, value in zip(ring.slots(now), values, strict=True)}
    reduce = {"mean": np.mean, "min": np.min, "max": np.max, "last": lambda present: present[-1]}[aggregate]
    expected = []
    for begin in range(-(-ring.first(now) // step) * step, ring.slot(now) + 1, step):
        if asked.since is None or begin >= asked.since:
            present = [slots[at] for at in range(begin, begin + step, 60) if not np.isnan(slots.get(at, np.nan))]
            expected.append((begin, reduce(present) if present else np.nan, begin + step <= ring.slot(now)))
    np.testing.assert_allclose(found.values[0], [value for _, value, _ in expected], rtol=1e-12)
    assert found.closed == sum(closed for *_, closed in expected)
    assert found.final == sum(begin + step <= ring.slot(now) - 60 * behind for begin, *_ in expected)
    assert found.step == step
    if expected:
        assert found.start == expected[0][0]


def test_a_step_that_is_no_multiple_of_the_trackers_is_refused(tracked: Tracked) -> None:
    tracked.watch("kraken:ethbtc")
    answer = tracked.client.get(f"{URL}?step=420")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["detail"] == "expected a multiple of 60 that divides 86400, e.g. 300"


def test_a_market_has_both_fields_in_one_answer(counted: Tracked) -> None:
    answer = counted.get("/v1/markets/kraken:ethbtc?step=300&aggregate=max")

    names = {"id": "kraken:ethbtc", "exchange": "kraken", "pair": "ethbtc", "base": "eth", "quote": "btc"}
    assert {name: answer[name] for name in names} == names
    for field in ("price", "volume"):
        alone = counted.get(f"/v1/metrics/kraken:ethbtc:{field}?step=300&aggregate=max")
        assert {name: answer[name] for name in ("start", "step", "closed", "final")} == {
            name: alone[name] for name in ("start", "step", "closed", "final")
        }
        assert answer[field] == {name: alone[name] for name in answer[field]}
        assert {*answer[field], *answer} == {*alone, "price", "volume"}


def test_an_unknown_market_says_where_the_list_is(counted: Tracked) -> None:
    for id in ("kraken:xyzbtc", "kraken", "KRAKEN:ETHBTC"):
        answer = counted.client.get(f"/v1/markets/{id}")
        assert answer.status_code == 404 and "/v1/metrics" in answer.json["detail"]


@pytest.mark.parametrize("by", ["stddev", "cv"])
def test_movers_are_the_two_ends_of_a_ranking(tracked: Tracked, by: str) -> None:
    tracked.fill([f"x:{name}btc" for name in "abcde"])

    answer = tracked.get(f"/v1/movers?field=volume&by={by}&limit=2")

    assert (answer["field"], answer["by"]) == ("volume", by)
    assert [row["pair"] for row in answer["top"]] == ["ebtc", "dbtc"]
    assert [row["pair"] for row in answer["bottom"]] == ["abtc", "bbtc"]
    assert answer["top"][0] == tracked.get("/v1/metrics?field=volume&limit=1")["metrics"][0]


def test_a_metric_without_the_number_is_no_mover(tracked: Tracked) -> None:
    tracked.fill(["x:abtc"])
    tracked.watch("x:abtc", "x:newbtc")
    tracked.put("x:abtc", np.zeros(1441))
    tracked.evaluate("x:abtc")

    assert [row["pair"] for row in tracked.get("/v1/movers?field=volume")["top"]] == ["abtc"]
    assert tracked.get("/v1/movers?field=volume&by=cv")["top"] == []
    assert tracked.get("/v1/movers?field=volume&by=change")["bottom"] == []


def test_latest_is_an_alias_of_the_newest_version(counted: Tracked) -> None:
    for path in ("metrics", "metrics?limit=1", "metrics/kraken:ethbtc:volume", "markets/kraken:ethbtc", "movers"):
        assert counted.get(f"/latest/{path}") == counted.get(f"/v1/{path}")


def test_a_new_version_is_one_file_and_a_line(counted: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the blueprint that api/v2.py would have
    v2 = APIBlueprint("v2", __name__)
    v2.register_blueprint(markets.bp)
    monkeypatch.setattr("api.VERSIONS", {**VERSIONS, "v2": v2})

    assert counted.get("/v2/markets/kraken:ethbtc") == counted.get("/v1/markets/kraken:ethbtc")
    assert counted.get("/latest/markets/kraken:ethbtc") == counted.get("/v2/markets/kraken:ethbtc")
    assert counted.client.get("/v2/metrics").status_code == counted.client.get("/latest/metrics").status_code == 404
    assert counted.client.get("/v1/metrics").status_code == 200
