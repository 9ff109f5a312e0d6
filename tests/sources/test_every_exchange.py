"""Every exchange of ccxt: it opens, requests go to the configured address, and it fails with SourceError only."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
import requests

from tracker.clock import Clock
from tracker.errors import SourceError
from tracker.models import Market
from tracker.sources.exchange import Exchange, exists

FOLDER = Path(find_spec("ccxt").origin).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if exists(path.stem))
NOW = 1_700_000_000.0


def test_there_are_many_and_those_without_candles_are_not_among_them() -> None:
    assert len(NAMES) > 80
    assert {"kraken", "binance", "coinbaseexchange", "bitstamp", "okx"} <= set(NAMES)
    assert not {"bitflyer", "zaif", "base", "__init__"} & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"[]", b"{}"])
def test_it_opens_and_whatever_happens_is_a_source_error(name: str, body: bytes) -> None:
    source = Exchange(name, "http://127.0.0.1:9", 60, Clock(NOW, 0))
    asked = []

    def send(request: requests.PreparedRequest, **_: object) -> requests.Response:
        asked.append(str(request.url))
        response = requests.Response()
        response.status_code, response.raw, response.url = 200, BytesIO(body), request.url
        return response

    source.session.send = send
    market = Market(f"{name}:btcusd", "btc", "usd", "BTCUSD")
    for call in (source.markets, lambda: source.tickers([market]), lambda: source.candles(market, 1_699_999_920)):
        try:
            call()
        except SourceError as error:
            assert str(error)
    assert all(url.startswith("http://127.0.0.1:9/") for url in asked)
