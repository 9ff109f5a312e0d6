"""The example of a source in docs/sources.md is one file and works as it stands there."""

import json
import re
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.http_server import HttpServer
from tracker import pipeline
from tracker.clock import Clock
from tracker.errors import SourceError
from tracker.settings import load
from tracker.sources import open_source
from tracker.store.series import Store

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a module of the example and adds its line to the registry, as an engineer would."""
    [text] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    module = ModuleType("tracker.sources.shop")
    exec(text, module.__dict__)
    monkeypatch.setitem(__import__("sys").modules, "tracker.sources.shop", module)
    monkeypatch.setitem(__import__("tracker.sources", fromlist=["SOURCES"]).SOURCES, "shop", "shop")


def test_it_is_configured_refreshed_and_fetched(shop: None, server: HttpServer, store: Store) -> None:
    settings = load({"SOURCES": "shop", "EXCHANGE_URL": f"shop={server.url}"})
    source = open_source("shop", settings)
    slot = int(time.time() // 60 * 60) - 300
    server.says(json.dumps([[slot, 2.0, 3.0], [slot + 60, 2.5, 1.0]]).encode())
    [market] = pipeline.refresh(store, "shop", source, time.time())
    pipeline.fetch(store, "shop", source, market, Clock())
    now = time.time()
    values = store.windows([market], now).values[:, 0]
    at = (slot - store.ring.first(now)) // 60
    assert values[:, at : at + 3].tolist() == [[2.0, 2.5, 2.5], [3.0, 1.0, 0.0]]


@pytest.mark.parametrize("body", [b"{}", b"[[1, 2]]", b"<html>", b'[["a", 2, 3]]'])
def test_what_it_raises_is_a_source_error(shop: None, server: HttpServer, body: bytes) -> None:
    source = open_source("shop", load({"SOURCES": "shop", "EXCHANGE_URL": server.url}))
    server.says(body)
    with pytest.raises(SourceError):
        source.candles(source.markets()[0], int(time.time() // 60 * 60))
