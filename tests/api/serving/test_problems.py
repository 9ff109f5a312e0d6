"""Every error is answered with a JSON problem that says what to do."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api import create_app
from api.v1 import schemas
from tests.support.servers import StoreServer, wait_for
from tests.support.tracked import Tracked


def problem(answer: TestResponse, status: int) -> schemas.Problem:
    """The problem in an answer, which must have this status."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    found = schemas.Problem.model_validate_json(answer.data, strict=True)
    assert (found.model_dump(exclude_unset=True), found.status) == (answer.json, status)
    return found


@pytest.fixture
def client(tracked: Tracked) -> FlaskClient:
    tracked.fill(["kraken:ethbtc"])
    return tracked.client


def test_an_unknown_metric_says_where_the_list_is(client: FlaskClient) -> None:
    found = problem(client.get("/v1/metrics/kraken:xyzbtc:volume"), 404)

    assert found.detail == "There is no metric kraken:xyzbtc:volume. /v1/metrics lists the metrics."


@pytest.mark.parametrize("id", ["KRAKEN:ETHBTC:VOLUME", "kraken:ethbtc", "kraken:ethbtc:open", "kraken:ethbtc:volume "])
def test_an_id_of_another_form_says_what_the_form_is(client: FlaskClient, id: str) -> None:
    found = problem(client.get(f"/v1/metrics/{quote(id)}"), 404)

    assert "exchange:pair:field in lower case" in found.detail and "/v1/metrics" in found.detail


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(id=st.text(min_size=1, max_size=200))
@example(id="'")
@example(id='";\n--')
@example(id="\0")
@example(id="..")
@example(id="../../etc/passwd")
@example(id="//")
@example(id="kraken:ethbtc:volume\n")
@example(id="kraken:ethbtc:volume\0")
@example(id="\N{GRINNING FACE}")
@example(id="{reason}")
@example(id="x" * 10_000)
@example(id=":" * 10_000)
def test_any_text_as_an_id_is_not_found(client: FlaskClient, id: str) -> None:
    problem(client.get(f"/v1/metrics/{quote(id, safe='')}"), 404)
    problem(client.get(f"/v1/markets/{quote(id, safe='')}"), 404)
    problem(client.get(f"/v1/metrics?cursor={quote(id[:500], safe='')}"), 422)


@pytest.mark.parametrize("path", ["/v2", "/v1/", "/v1/metrics/", "/v1//metrics", "/prices", "/docs/x", "/static/x"])
def test_an_unknown_path_says_where_the_paths_are(client: FlaskClient, path: str) -> None:
    assert "/v1 lists" in problem(client.get(path), 404).detail


@pytest.mark.parametrize("path", ["/", "/v1", "/healthz", "/v1/metrics", "/v1/metrics/kraken:ethbtc:volume"])
def test_nothing_is_changed_through_the_api(client: FlaskClient, path: str) -> None:
    for answer in (client.post(path), client.put(path), client.patch(path), client.delete(path)):
        assert "GET" in problem(answer, 405).detail
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=NaN", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("field=open", "field"),
        ("field=VOLUME", "field"),
        ("field=volume%0A", "field"),
        ("exchange=Kraken", "exchange"),
        ("exchange=", "exchange"),
        ("pair=BTC", "pair"),
        ("quote=%00", "quote"),
        ("q=" + "x" * 101, "q"),
        ("order=name", "order"),
        ("order=--id", "order"),
        ("fields=", "fields"),
        ("fields=id,nothing", "fields"),
        ("cursor=", "cursor"),
        ("cursor=%FF%00", "cursor"),
        ("cursor=W10", "cursor"),
        ("cursor=WyJyYW5rIiwwLGZhbHNlLDFlOTk5LCJhIl0", "cursor"),
        ("order=id&cursor=WyJyYW5rIiwwLGZhbHNlLDEsImEiXQ", "cursor"),
        ("after=kraken:ethbtc:price", "after"),
        ("feild=volume", "feild"),
        ("%FF=%FF", "%FF"),
        ("=", "_schema"),
    ],
)
def test_a_parameter_that_is_not_usable_is_named(client: FlaskClient, query: str, name: str) -> None:
    found = problem(client.get(f"/v1/metrics?{query}"), 422)

    assert [(error.location, error.name) for error in found.errors or []] == [("query", name)]
    assert all(error.detail in found.detail for error in found.errors or [])


def test_every_parameter_to_put_right_is_named_at_once(client: FlaskClient) -> None:
    found = problem(client.get("/v1/metrics?limit=0&field=x&nope=1"), 422)

    assert {error.name for error in found.errors or []} == {"limit", "field", "nope"}
    assert "/v1/openapi.json" in found.detail


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=5", "limit"),
        ("since=-1", "since"),
        ("since=now", "since"),
        ("since=1e99", "since"),
        ("step=0", "step"),
        ("step=-60", "step"),
        ("step=61", "step"),
        ("step=420", "step"),
        ("step=172800", "step"),
        ("aggregate=sum", "aggregate"),
    ],
)
def test_a_parameter_of_a_series_that_is_not_usable_is_named(client: FlaskClient, query: str, name: str) -> None:
    for path in ("metrics/kraken:ethbtc:volume", "markets/kraken:ethbtc"):
        assert [error.name for error in problem(client.get(f"/v1/{path}?{query}"), 422).errors or []] == [name]


@pytest.mark.parametrize(("query", "name"), [("limit=101", "limit"), ("by=last", "by"), ("field=open", "field")])
def test_a_parameter_of_movers_that_is_not_usable_is_named(client: FlaskClient, query: str, name: str) -> None:
    assert [error.name for error in problem(client.get(f"/v1/movers?{query}"), 422).errors or []] == [name]


@pytest.fixture
def lone_store(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path) as server:
        yield server


def test_a_store_that_is_away_is_told_within_seconds_and_used_once_it_is_back(lone_store: StoreServer) -> None:
    client = Tracked(lone_store.url).client
    paths = (
        "/healthz",
        "/v1/metrics",
        "/v1/metrics/kraken:ethbtc:volume",
        "/v1/markets/kraken:ethbtc",
        "/v1/movers",
    )
    assert client.get("/healthz").status_code == 200

    lone_store.kill()
    for path in paths:
        began = time.monotonic()
        answer = client.get(path)
        assert time.monotonic() - began < 5
        found = problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0 and "Try again" in found.detail
        assert str(lone_store.port) not in answer.text
    assert client.get("/").status_code == 200

    lone_store.start()
    wait_for(lambda: client.get("/healthz").status_code == 200, "the API uses the store again")


def test_a_store_that_hangs_is_given_up(lone_store: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.PATIENCE", 0.2)
    client = Tracked(lone_store.url).client
    assert lone_store.process is not None

    lone_store.process.send_signal(signal.SIGSTOP)
    try:
        problem(client.get("/healthz"), 503)
    finally:
        lone_store.process.send_signal(signal.SIGCONT)

    wait_for(lambda: client.get("/healthz").status_code == 200, "the API uses the store again")


def test_a_failure_has_no_traceback_in_its_answer(tracked: Tracked) -> None:
    app = create_app(tracked.settings)
    app.get("/broken")(lambda: 1 // 0)

    answer = app.test_client().get("/broken")

    assert "log" in problem(answer, 500).detail
    assert "ZeroDivision" not in answer.text and "Traceback" not in answer.text


def test_a_bad_variable_ends_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP", "7")

    with pytest.raises(SystemExit) as stop:
        create_app()

    assert stop.value.code == "api: STEP='7': expected one of 60, 180, 300, 900, 1800, 3600"
