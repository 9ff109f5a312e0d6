"""The static edition has the same answers as the API."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from api import create_app, export
from api.pages import dashboard
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.alerts.outbox import Outbox
from tracker.errors import StoreError, TrackerError
from tracker.models import Alert

ROOT = Path(__file__).parents[2]
IDS = ["kraken:ethbtc", "bancor:bntbtc"]


@pytest.fixture
def filled(tracked: Tracked) -> Tracked:
    tracked.fill(IDS)
    return tracked


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_file_has_the_bytes_that_the_api_answers(filled: Tracked, tmp_path: Path) -> None:
    count = export.write(create_app(filled.settings), tmp_path)

    series = {f"v1/metrics/{id}:{field}.json" for id in IDS for field in ("price", "volume")}
    markets = {f"v1/markets/{id}.json" for id in IDS}
    page = {file for file, _ in dashboard.edition()}
    assert files(tmp_path) >= {"data-tracker.sqlite", "v1/movers.json", "index.html", *series, *markets}
    assert count == len(files(tmp_path))
    for file in files(tmp_path) - {"data-tracker.sqlite"} - page:
        path = export.LISTS.get(file, f"/{file.removesuffix('.json')}")
        assert (tmp_path / file).read_bytes() == filled.client.get(path).data, file


def test_the_page_is_among_the_files_and_knows_that_it_has_no_server(filled: Tracked, tmp_path: Path) -> None:
    export.write(create_app(filled.settings), tmp_path)

    assert 'data-edition="files"' in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "static" / "docs.html").exists() and not (tmp_path / "static/vendor/swagger-ui").exists()
    for name in dashboard.names() - {"index.html"}:
        if not dashboard.OTHERS.match(name):
            assert (tmp_path / "static" / name).read_bytes() == (dashboard.FILES / name).read_bytes()


def test_the_database_has_every_series_rank_and_alert(filled: Tracked, tmp_path: Path) -> None:
    values = np.arange(1441.0)
    values[100:200] = np.nan
    filled.put("kraken:ethbtc", values)
    filled.store.redis.delete("dt1:ring:kraken:ethbtc")
    filled.put("kraken:ethbtc", values[~np.isnan(values)], SLOTS[~np.isnan(values)], price=2.0)
    filled.evaluate("kraken:ethbtc")
    alert = Alert("above-3x-1h-mean", "kraken:ethbtc:volume", int(SLOTS[-1]), 9.0, 2.0, 3.0, 60, 3_600, NOW)
    Outbox(filled.store.redis).record(alert, 60)

    export.write(create_app(filled.settings), tmp_path)

    with closing(sqlite3.connect(tmp_path / "data-tracker.sqlite")) as database:
        stored = database.execute("SELECT slot, price, volume FROM series WHERE market = 'kraken:ethbtc' ORDER BY slot")
        present = ~np.isnan(values)
        assert stored.fetchall() == list(
            zip(SLOTS[present].tolist(), [2.0] * int(present.sum()), values[present].tolist(), strict=True)
        )
        [final] = database.execute("SELECT final_before FROM markets WHERE id = 'kraken:ethbtc'").fetchone()
        assert final == SLOTS[-1]
        row = filled.get("/v1/metrics?q=kraken&field=volume")["metrics"][0]
        columns = "unit, stddev_24h, rank, rank_of, cv_rank, cv_rank_of"
        found = database.execute(f"SELECT {columns} FROM metrics WHERE id = ?", (row["id"],)).fetchone()
        ranks = [row[name][number] for name in ("rank", "cv_rank") for number in ("position", "of")]
        assert list(found) == [row["unit"], row["stddev_24h"], *ranks]
        assert database.execute("SELECT count(*) FROM metrics").fetchone() == (4,)
        assert database.execute("SELECT id, text FROM alerts").fetchall() == [(alert.id, str(alert))]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_files_of_metrics_that_are_gone_are_deleted_and_others_left_alone(filled: Tracked, tmp_path: Path) -> None:
    app = create_app(filled.settings)
    export.write(app, tmp_path)
    (tmp_path / "robots.txt").write_text("User-agent: *")
    filled.store.redis.flushall()
    filled.fill(IDS[:1])

    export.write(create_app(filled.settings), tmp_path)

    assert not [file for file in files(tmp_path) if "bancor" in file]
    assert "robots.txt" in files(tmp_path) and "v1/markets/kraken:ethbtc.json" in files(tmp_path)


def test_an_edition_for_which_the_store_is_away_leaves_the_last_one(
    filled: Tracked, tmp_path: Path, monkeypatch
) -> None:
    export.write(create_app(filled.settings), tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in files(tmp_path)}
    away = create_app(replace(filled.settings, redis_given=f"redis://127.0.0.1:{free_port()}/0"))

    with pytest.raises(StoreError, match="503"):
        export.write(away, tmp_path)

    assert {file: (tmp_path / file).read_bytes() for file in files(tmp_path)} == before


def test_a_folder_that_cannot_be_written_is_named(filled: Tracked, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackerError, match="file cannot be written"):
        export.write(create_app(filled.settings), tmp_path / "file")


@pytest.mark.slow
def test_the_command_keeps_the_edition_fresh(store_server: StoreServer, redis: Redis, tmp_path: Path) -> None:
    environment = {"REDIS_URL": store_server.url, "API_READS": "key", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "tracker", "export", str(tmp_path / "new"), "--every", "0.2"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        listed = tmp_path / "new" / "v1" / "metrics.json"
        wait_for(lambda: listed.exists() and b'"total":0' in listed.read_bytes(), "an edition without metrics")
        Tracked(store_server.url).fill(IDS)
        wait_for(lambda: b'"total":4' in listed.read_bytes(), "one with them")
    finally:
        process.terminate()
        process.communicate(timeout=30)
