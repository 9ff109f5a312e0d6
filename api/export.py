"""The static edition: what the API answers, as files under the same paths, the dashboard, and one SQLite file of all.

For object storage, a CDN, or a web server that serves ``PATH.json`` for ``PATH``. The app is asked for each file, so a
file has exactly the bytes that the API answers. Each file is written under another name and renamed, so a reader
gets the whole old file or the whole new one. Files of metrics that no longer exist are deleted.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from apiflask import APIFlask

from api import create_app
from api.pages import dashboard
from tracker.alerts.outbox import Outbox
from tracker.errors import StoreError, TrackerError
from tracker.settings import Settings
from tracker.store.series import Store

DATABASE = "data-tracker.sqlite"
#: The largest page. If there are more metrics, the list has the first ones and the database has all.
LIMIT = 10_000
ALERTS = 1_000
#: Files that always exist -> the path that each answers.
LISTS = {
    "healthz.json": "/healthz",
    "v1/openapi.json": "/v1/openapi.json",
    "v1/metrics.json": f"/v1/metrics?limit={LIMIT}",
    "v1/sparks.json": f"/v1/metrics?limit={LIMIT}&fields=id,spark",
    "v1/movers.json": "/v1/movers",
    "v1/alerts.json": f"/v1/alerts?limit={ALERTS}",
    "v1/sources.json": "/v1/sources",
}
#: Windows read at a time.
CHUNK = 128
SCHEMA = """
CREATE TABLE edition (at REAL, step INTEGER);
CREATE TABLE metrics (id TEXT PRIMARY KEY, exchange TEXT, pair TEXT, base TEXT, quote TEXT, field TEXT, unit TEXT,
  last REAL, last_slot INTEGER, change_1h REAL, change_24h REAL, mean_1h REAL, mean_24h REAL, stddev_24h REAL,
  cv_24h REAL, rank INTEGER, rank_of INTEGER, cv_rank INTEGER, cv_rank_of INTEGER);
CREATE TABLE markets (number INTEGER PRIMARY KEY, id TEXT UNIQUE, final_before INTEGER);
CREATE TABLE samples (market INTEGER REFERENCES markets, slot INTEGER, price REAL, volume REAL,
  PRIMARY KEY (market, slot)) WITHOUT ROWID;
CREATE VIEW series AS SELECT markets.id AS market, slot, price, volume FROM samples JOIN markets ON market = number;
CREATE TABLE alerts (id TEXT PRIMARY KEY, metric TEXT, slot INTEGER, text TEXT);
"""


def run(settings: Settings, folder: Path, every: float | None) -> None:
    """Writes the edition once, or each ``every`` seconds until it is interrupted; raises TrackerError.

    With ``every``, an edition is skipped while the store is away.
    """
    app = create_app(replace(settings, api_reads="open", api_rate=0))
    while True:
        began = time.monotonic()
        try:
            print(f"{write(app, folder)} files in {folder} ({time.monotonic() - began:.1f} s)", flush=True)
        except StoreError as error:
            if every is None:
                raise
            print(f"skipped: {error}", flush=True)
        if every is None:
            return
        time.sleep(max(0.0, began + every - time.monotonic()))


def write(app: APIFlask, folder: Path) -> int:
    """Writes one edition into ``folder`` and returns the number of its files; raises StoreError, SettingsError."""
    try:
        written = {_replace(folder / file, body) for file, body in documents(app)}
        written.add(_write_database(app, folder))
        for old in (folder / "v1").rglob("*.json"):
            if old not in written:
                old.unlink()
    except OSError as error:
        raise TrackerError(f"{folder} cannot be written: {error}") from error
    return len(written)


def documents(app: APIFlask) -> Iterator[tuple[str, bytes]]:
    """Yields (path in the folder, bytes) of every file of the edition except the database."""
    metrics, alerts = (_ids(app, name) for name in ("metrics", "alerts"))
    markets = {id.rpartition(":")[0] for id in metrics}
    asked = LISTS | {
        f"v1/{folder}/{id}.json": f"/v1/{folder}/{id}"
        for folder, ids in (("metrics", metrics), ("markets", markets), ("alerts", alerts))
        for id in ids
    }
    for file, path in asked.items():
        if body := _answer(app, path):
            yield file, body
    yield from dashboard.edition()


def _ids(app: APIFlask, name: str) -> list[str]:
    """The ids of a list's rows."""
    body = _answer(app, LISTS[f"v1/{name}.json"])
    return [row["id"] for row in app.json.loads(body)[name]] if body else []


def _answer(app: APIFlask, path: str) -> bytes | None:
    """The body of the API's answer; None for 404. Raises StoreError for any other status."""
    answer = app.test_client().get(path)
    if answer.status_code not in (200, 404):
        raise StoreError(f"{path} was answered with {answer.status}")
    return answer.data if answer.status_code == 200 else None


def _replace(file: Path, body: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.new")
    aside.write_bytes(body)
    return aside.replace(file)


def _write_database(app: APIFlask, folder: Path) -> Path:
    aside = folder / f".{DATABASE}.new"
    aside.unlink(missing_ok=True)
    store: Store = app.extensions["reads"]
    now = app.extensions["settings"].clock.now()
    with closing(sqlite3.connect(aside)) as database, database:
        database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        database.execute("INSERT INTO edition VALUES (?, ?)", (now, store.ring.step))
        table = app.extensions["tables"].newest(now)
        metrics = [_flat(table.row(at)) for at in range(len(table.ids))]
        _insert(database, "metrics", 19, metrics)
        markets = sorted({id.rpartition(":")[0] for id in table.ids})
        final_before: list[int] = []
        _insert(database, "samples", 4, _samples(store, markets, now, final_before))
        _insert(database, "markets", 3, zip(range(len(markets)), markets, final_before, strict=True))
        alerts = ((alert.id, alert.metric, alert.slot, str(alert)) for alert in Outbox(store.redis).newest(10_000))
        _insert(database, "alerts", 4, alerts)
    return aside.replace(folder / DATABASE)


def _insert(database: sqlite3.Connection, table: str, columns: int, rows: Iterable[Any]) -> None:
    database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)


def _flat(row: dict[str, Any]) -> list[Any]:
    """A metric's row as columns. Each of its two ranks becomes two columns."""
    rank, cv_rank = row.pop("rank") or {}, row.pop("cv_rank") or {}
    numbers = [None if value != value else value for value in row.values()]
    return [*numbers, rank.get("position"), rank.get("of"), cv_rank.get("position"), cv_rank.get("of")]


def _samples(
    store: Store, markets: list[str], now: float, final_before: list[int]
) -> Iterator[tuple[int, int, float, float]]:
    """Yields (number of the market, slot, price, volume) for every slot that has a sample.

    Appends to ``final_before`` one slot for each market: the samples before it are final.
    """
    slots = store.ring.slots(now)
    for start in range(0, len(markets), CHUNK):
        values, final = store.windows(markets[start : start + CHUNK], now)
        final_before += slots[final].tolist()
        for at in range(values.shape[1]):
            present = ~np.isnan(values[:, at]).all(axis=0)
            price, volume = (column[present].tolist() for column in values[:, at])
            yield from zip([start + at] * len(price), slots[present].tolist(), price, volume, strict=True)
