"""The files of the page, as served. tests/dashboard tests the page itself."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.pages import dashboard
from api.serving import zstd
from api.serving.answer import SMALL
from tracker.settings import load

FILES = Path(dashboard.__file__).parents[1] / "static"
NAMES = sorted(dashboard.names())
#: What a browser may fetch on the first visit. An SQLite file fetches sql.js, and /docs fetches Swagger UI.
FIRST = [name for name in NAMES if not name.startswith(("vendor/sql.js/", "vendor/swagger-ui/", "docs."))]


@pytest.fixture
def client() -> FlaskClient:
    return create_app(load({})).test_client()


def test_the_root_is_the_page(client: FlaskClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 200 and answer.mimetype == "text/html"
    assert answer.data == (FILES / "index.html").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_sent_as_it_is_and_not_again_while_it_is_the_same(client: FlaskClient, name: str) -> None:
    content = (FILES / name).read_bytes()
    decoded = {None: bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}
    tags = set()
    for accepted in ("", "gzip, br", "gzip, deflate, br, zstd"):
        answer = client.get(f"/static/{name}", headers={"Accept-Encoding": accepted})
        again = client.get(
            f"/static/{name}", headers={"Accept-Encoding": accepted, "If-None-Match": answer.headers["ETag"]}
        )
        assert decoded[answer.headers.get("Content-Encoding")](answer.data) == content
        assert again.status_code == 304 and not again.data
        assert answer.headers["Vary"] == "Accept-Encoding"
        tags.add(answer.headers["ETag"])
    assert len(tags) == (3 if len(content) >= SMALL else 1)


def test_a_new_release_is_seen_at_once_and_versioned_files_are_not_asked_for_again(client: FlaskClient) -> None:
    for name in ("main.js", "style.css"):
        assert client.get(f"/static/{name}").headers["Cache-Control"] == "no-cache"
    assert "immutable" in client.get("/static/vendor/uplot/uPlot-1.6.32.js").headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/static/../export.py", "/static/%2e%2e/export.py", "/static/", "/static/vendor"])
def test_nothing_but_the_files_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_page_may_run_its_own_scripts_only_and_reach_its_own_origin_only(client: FlaskClient) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]

    allowed = {source for directive in policy.split(";") for source in directive.split()[1:]}
    assert allowed == {"'none'", "'self'", "'wasm-unsafe-eval'"}
    within = (FILES / "index.html").read_text()
    assert re.search(r'Content-Security-Policy" content="([^"]+)"', within)[1] in policy
    assert not re.search(r"<script>|style=|onclick=|<style", within)


def test_a_first_visit_transfers_less_than_300_kb(client: FlaskClient) -> None:
    sent = [len(client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}).data) for name in FIRST]

    assert 50_000 < sum(sent) < 200_000  # leaves room for the API's answers


def test_libraries_are_shipped_with_their_licences() -> None:
    for folder in (FILES / "vendor").iterdir():
        licence = (folder / "LICENSE").read_text()
        assert "Permission is hereby granted" in licence or "Apache License" in licence
