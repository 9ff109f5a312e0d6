"""The document and the page that describe the API."""

import re
from dataclasses import replace

import pytest

from api import create_app
from api.v1 import cursor, schemas
from tests.api.examples import ASKED, answers
from tests.support.tracked import Tracked

RESOURCES = {"/v1/metrics", "/v1/metrics/{id}", "/v1/markets/{id}", "/v1/movers"}


def test_every_path_parameter_and_field_is_described(tracked: Tracked) -> None:
    document = tracked.get("/v1/openapi.json")

    assert document["openapi"] == "3.1.0"
    operations = {path: methods["get"] for path, methods in document["paths"].items() if "get" in methods}
    assert set(operations) >= {"/v1", "/healthz", *RESOURCES}
    assert not any(path.startswith("/latest") for path in document["paths"])
    assert {name["name"] for name in operations["/v1/metrics"]["parameters"]} == set(schemas.MetricsQuery.model_fields)
    assert set(operations["/v1/metrics/{id}"]["responses"]) == {
        "200", "304", "401", "403", "404", "414", "422", "429", "503"
    }  # fmt: skip
    described = [parameter["schema"] for each in operations.values() for parameter in each["parameters"]]
    described += [
        field for schema in document["components"]["schemas"].values() for field in schema["properties"].values()
    ]
    assert all(each["description"] for each in described)
    assert references(document) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_all_of_v1_is_there_as_latest(tracked: Tracked) -> None:
    tracked.fill(["kraken:ethbtc"])
    app = create_app(tracked.settings)
    locked = create_app(replace(tracked.settings, api_reads="key")).test_client()
    methods = {rule.rule: rule.methods for rule in app.url_map.iter_rules()}
    paths = [path.removeprefix("/v1") for path in methods if path.startswith("/v1")]

    assert len(paths) > 10
    for path in [*paths, "/"]:
        assert methods.get(f"/latest{path}") == methods.get(f"/v1{path}"), path
        asked = path.replace("<id>", "kraken:ethbtc:volume")
        for client in (app.test_client(), locked):
            newest, v1 = client.get(f"/latest{asked}"), client.get(f"/v1{asked}")
            assert newest.status_code == v1.status_code, path
            assert newest.json == v1.json or newest.status_code >= 400, path


def references(part: object) -> set[str]:
    if isinstance(part, dict):
        here = {part["$ref"]} if "$ref" in part else set()
        return here.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def test_examples_are_real_answers(tracked: Tracked) -> None:
    document = tracked.get("/v1/openapi.json")
    found = answers(tracked)
    for path in ASKED:
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert alike(content["application/json"]["example"], found[path]), "python -m tests.api.examples writes anew"


def alike(one: object, other: object) -> bool:
    """Whether both are equal up to the last digits of numbers, also in cursors. These depend on the processor."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value(one, name), value(other, name)) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == pytest.approx(other, rel=1e-9) if isinstance(one, float) else one == other


def value(answer: dict, name: str) -> object:
    return cursor.read(answer["next"], "rank") if name == "next" and answer["next"] else answer[name]


def test_the_page_works_without_internet(tracked: Tracked) -> None:
    client = tracked.client
    page = client.get("/docs", headers={"Accept-Encoding": "gzip"})
    assert page.status_code == 200 and page.content_type.startswith("text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:src|href)="([^"]*)"', client.get("/docs").text)
    assert links == [
        "static/icon.svg", "static/vendor/swagger-ui/swagger-ui-5.31.0.css", "v1/openapi.json",
        "static/vendor/swagger-ui/swagger-ui-bundle-5.31.0.js", "static/docs.js",
    ]  # fmt: skip
    for link in links:
        answer = client.get(f"/{link}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200 and len(answer.data) > 100
        assert "immutable" in answer.headers["Cache-Control"] or "vendor" not in link
        again = client.get(f"/{link}", headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert 'url: "v1/openapi.json"' in client.get("/static/docs.js").text
