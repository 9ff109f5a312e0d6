"""Lists: filters, orders, chosen fields, spark lines, and pages that stay right while ranks change."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.v1 import cursor
from api.v1.metrics import ORDERS
from api.v1.schemas import ROW
from api.v1.table import Order, Place, Table, _ranked
from tests.support.tracked import Tracked, spread
from tracker.store.layout import NUMBERS, SUMMARY

IDS = ["kraken:ethbtc", "krakenx:ethbtc", "bancor:bntbtc"]


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    """Three markets. Their volumes deviate by 100, 200 and 300 around 1,000. Their prices do not deviate."""
    tracked.fill(IDS)
    return tracked


def ids(answer: dict) -> list[str]:
    return [row["id"] for row in answer["metrics"]]


def pages(tracked: Tracked, query: str) -> Iterator[dict]:
    place, seen = "", set()
    while place is not None:
        page = tracked.get(f"/v1/metrics?{query}{place and f'&cursor={place}'}")
        yield page
        place = page["next"]
        assert place not in seen  # else the pages would never end
        seen.add(place)


def test_filters_narrow_the_list_and_its_total(filled: Tracked) -> None:
    volumes = filled.get("/v1/metrics?field=volume")
    both = filled.get("/v1/metrics?field=volume&exchange=kraken")
    nowhere = filled.get("/v1/metrics?exchange=mtgox")

    assert [row["field"] for row in volumes["metrics"]] == ["volume"] * 3 and volumes["total"] == 3
    assert ids(both) == ["kraken:ethbtc:volume"] and both["total"] == 1
    assert both["metrics"][0]["rank"]["of"] == 3
    assert nowhere == {"metrics": [], "next": None, "total": 0}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=eth", {"kraken:ethbtc", "krakenx:ethbtc"}),
        ("q=BNT", {"bancor:bntbtc"}),
        ("q=btc+kraken", {"kraken:ethbtc", "krakenx:ethbtc"}),
        ("q=kraken:eth", {"kraken:ethbtc"}),
        ("q=", set(IDS)),
        ("q=%25", set()),
        ("pair=ethbtc", {"kraken:ethbtc", "krakenx:ethbtc"}),
        ("quote=btc", set(IDS)),
        ("quote=eth", set()),
        ("q=eth&exchange=krakenx&quote=btc", {"krakenx:ethbtc"}),
    ],
)
def test_search_and_filters_find(filled: Tracked, query: str, found: set[str]) -> None:
    answer = filled.get(f"/v1/metrics?{query}&field=volume")
    assert set(ids(answer)) == {f"{id}:volume" for id in found}


@pytest.mark.parametrize("order", ["rank", "cv"])
def test_the_most_volatile_come_first_and_last_if_turned_around(filled: Tracked, order: str) -> None:
    answer = filled.get(f"/v1/metrics?field=volume&order={order}")
    assert [row[{"rank": "rank", "cv": "cv_rank"}[order]]["text"] for row in answer["metrics"]] == ["1/3", "2/3", "3/3"]
    assert ids(filled.get(f"/v1/metrics?field=volume&order=-{order}")) == ids(answer)[::-1]


def test_the_two_ranks_may_differ(tracked: Tracked) -> None:
    tracked.watch("a:ethbtc", "b:ethbtc")
    tracked.put("a:ethbtc", spread(1_000, 100))
    tracked.put("b:ethbtc", spread(100, 50))
    tracked.evaluate("a:ethbtc", "b:ethbtc")

    rows = tracked.get("/v1/metrics?field=volume&order=id")["metrics"]

    assert [(row["rank"]["text"], row["cv_rank"]["text"]) for row in rows] == [("1/2", "2/2"), ("2/2", "1/2")]
    assert [row["cv_24h"] for row in rows] == [0.1, 0.5]


def test_changes_are_of_an_hour_and_a_day_ago(tracked: Tracked) -> None:
    values = np.full(1441, 10.0)
    values[[0, -61, -1]] = 5, 8, 12
    tracked.watch("up:ethbtc", "down:ethbtc", "none:ethbtc")
    tracked.put("up:ethbtc", values)
    tracked.put("down:ethbtc", np.linspace(100, 50, 1441))
    tracked.put("none:ethbtc", np.r_[0, values[1:]])
    tracked.evaluate("up:ethbtc", "down:ethbtc", "none:ethbtc")

    rows = tracked.get("/v1/metrics?field=volume&order=change")["metrics"]

    assert [row["exchange"] for row in rows] == ["up", "down", "none"]
    assert [row["change_24h"] for row in rows] == [pytest.approx(1.4), -0.5, None]
    assert [row["change_1h"] for row in rows[::2]] == [pytest.approx(0.5)] * 2


def test_without_a_field_prices_come_before_volumes_except_by_id(filled: Tracked) -> None:
    by_rank, by_id = filled.get("/v1/metrics"), filled.get("/v1/metrics?order=id")
    assert [row["field"] for row in by_rank["metrics"]] == ["price"] * 3 + ["volume"] * 3
    assert ids(by_id) == sorted(ids(by_rank))


def test_a_metric_without_samples_comes_last_in_either_direction(filled: Tracked) -> None:
    filled.watch(*IDS, "a:newbtc")
    for order in ("rank", "-rank", "last", "-last", "change", "-change"):
        assert ids(filled.get(f"/v1/metrics?field=volume&order={order}"))[-1] == "a:newbtc:volume"


def test_an_order_agrees_with_the_ranks_of_the_store(tracked: Tracked) -> None:
    tracked.fill([f"x:{name}btc" for name in "cabed"])  # all prices deviate by 0, so they tie
    for field in ("price", "volume"):
        answer = tracked.get(f"/v1/metrics?field={field}")
        assert ids(answer) == tracked.store.ranking(field)
        assert [row["rank"]["position"] for row in answer["metrics"]] == [1, 2, 3, 4, 5]


def test_only_the_fields_asked_for_are_given_and_the_id(filled: Tracked) -> None:
    whole = filled.get("/v1/metrics")["metrics"][0]
    assert set(whole) == set(ROW) - {"spark"}
    assert filled.get("/v1/metrics?fields=last,rank")["metrics"][0] == {
        name: whole[name] for name in ("id", "last", "rank")
    }


def test_a_spark_line_has_the_means_of_half_hours(tracked: Tracked) -> None:
    values = np.arange(1441.0)
    values[30:60] = np.nan
    values[60:89] = np.nan
    tracked.watch("kraken:ethbtc", "kraken:newbtc")
    tracked.put("kraken:ethbtc", values, price=7.0)

    rows = tracked.get("/v1/metrics?fields=id,spark&order=id")["metrics"]
    found = {row["id"]: row["spark"] for row in rows}

    half_hours = np.arange(1440.0).reshape(48, 30).mean(axis=1)
    assert found["kraken:ethbtc:volume"] == [half_hours[0], None, 89.0, *half_hours[3:]]
    assert found["kraken:ethbtc:price"] == [7.0] * 48
    assert found["kraken:newbtc:price"] == [None] * 48


@pytest.mark.parametrize("order", [*ORDERS, *(f"-{order}" for order in ORDERS)])
def test_pages_yield_each_metric_once_in_order(tracked: Tracked, order: str) -> None:
    tracked.fill([f"kraken:a{number}btc" for number in range(5)] + ["bancor:bntbtc"])
    tracked.watch(*(f"kraken:a{number}btc" for number in range(5)), "bancor:bntbtc", "a:newbtc")
    whole = ids(tracked.get(f"/v1/metrics?order={order}"))

    for limit in (1, 4, 14):
        found = list(pages(tracked, f"order={order}&limit={limit}"))
        assert [id for page in found for id in ids(page)] == whole
        assert {page["total"] for page in found} == {14}
        assert len(found) == math.ceil(14 / limit)


def test_a_page_goes_on_behind_a_metric_that_is_gone(tracked: Tracked) -> None:
    tracked.fill(["a:ethbtc", "b:ethbtc", "c:ethbtc"])
    [page] = [tracked.get("/v1/metrics?order=id&limit=4")]
    tracked.store.redis.flushall()
    tracked.fill(["a:ethbtc", "c:ethbtc"])

    assert ids(tracked.get(f"/v1/metrics?order=id&cursor={page['next']}")) == ["c:ethbtc:price", "c:ethbtc:volume"]


def table(numbers: dict[str, float | None]) -> Table:
    """A table of metrics with these standard deviations; None: without numbers."""
    found = sorted(numbers)
    columns = np.zeros(len(found), SUMMARY)
    for name in NUMBERS:
        columns[name] = [math.nan if numbers[id] is None else numbers[id] for id in found]
    columns["slot"] = 1
    fields = np.array([id.endswith("volume") for id in found], int)
    ranks, of = _ranked(columns["stddev"], fields)
    return Table(found, fields, {}, columns, ranks, ranks, of, of, 0, b"")


names = st.sampled_from([f"x:{pair}:{field}" for pair in "abcdefgh" for field in ("price", "volume")])
values = st.one_of(st.none(), st.integers(0, 3).map(float), st.floats(0, allow_infinity=False))
states = st.dictionaries(names, values, min_size=1)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(first=states, moves=st.lists(states, max_size=20), order=st.sampled_from([*ORDERS.values()]), down=st.booleans(),
       limit=st.integers(1, 5))  # fmt: skip
def test_what_does_not_move_comes_exactly_once_whatever_moves_between_pages(
    first: dict, moves: list[dict], order: Order, down: bool, limit: int
) -> None:
    # given metrics, some of which move, come or go between any two pages
    order, moving = Order(order.column, down), set().union(*moves)
    still = {id: number for id, number in first.items() if id not in moving}
    now, seen, place = dict(first), [], None
    # when
    for turn in range(200):
        rows = table(now)
        chosen = np.arange(len(rows.ids))
        if place:
            chosen = rows.behind(chosen, order, cursor.read(cursor.write("rank", place), "rank"))
        page = rows.sort(chosen, order)[:limit].tolist()
        seen += [rows.ids[at] for at in page]
        if len(page) == len(chosen):
            break
        place = rows.place(page[-1], order)
        now = still | (moves[turn % len(moves)] if moves else {})
    # then
    assert turn < 199
    unmoved = [id for id in seen if id in still]
    expected = table(still) if still else None
    assert unmoved == ([expected.ids[at] for at in expected.sort(np.arange(len(still)), order)] if expected else [])


@given(st.builds(Place, st.integers(0, 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_a_cursor_reads_back_as_the_place_it_was_made_of(place: Place) -> None:
    assert cursor.read(cursor.write("-cv", place), "-cv") == place
    with pytest.raises(cursor.BadCursor, match="another order"):
        cursor.read(cursor.write("-cv", place), "cv")


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.hex()), st.from_regex(r"[A-Za-z0-9_-]{1,40}")))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with pytest.raises(cursor.BadCursor):
        cursor.read(text, "rank")
