"""Any answer of an exchange gives valid data or a SourceError: 10,000 invented answers over all parsers.

An answer is a recorded one with errors put in, or random JSON. The tests replace the sources' HTTP, which has tests of
its own, so that many answers take little time.
"""

import copy
import json
import time
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.exchanges import STEP, ExchangeServer, moved
from tests.support.exchanges.every import PAIRS, SERVERS, opened
from tracker.errors import SourceError
from tracker.models import MARKET_ID, Candles, Market, Ticker
from tracker.series import candles
from tracker.sources import Source

#: Answers for each of 6 sources and 3 calls: 10,080 in all.
EXAMPLES = 560
#: Candles to ask for, so also the candles of a recorded answer.
SLOTS = 6

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, 0.0, -0.0, 1e19, 1e308, 60, 61, 1_516_700_040, 1_516_700_040_000]),
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    numbers.map(str),
    st.sampled_from(
        [
            "",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "1e999999999",
            "-1E-99999999",
            "0x10",
            "1_000",
            "abc",
            "\u0000",
            "BTC/USD",
            "x" * 300,
        ]
    ),
    st.text(max_size=5),
    st.sampled_from(
        [[], {}, [[]], [{}], [None], {"error": []}, {"error": "no"}, {"code": -1}, [[1, 2, 3]], [[None] * 8]]
    ),
)
answers = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
#: Errors to put in: a path through the document, and the value to put there.
wrong = st.lists(st.tuples(st.lists(st.integers(0, 40), min_size=1, max_size=6), odd), min_size=1, max_size=3)


@cache
def recorded(server: type[ExchangeServer]) -> tuple[Source, Market, dict[str, Any]]:
    """(a source, one of its markets, call -> the exchange's recorded answer)."""
    with server({pair: moved(file, ahead=0) for pair, file in PAIRS.items()}) as exchange:
        source = opened(exchange)
        said: dict[str, Any] = {}
        send = source.session.send
        for call in ("markets", "candles", "tickers"):

            def kept(request: requests.PreparedRequest, call: str = call, **options: Any) -> requests.Response:
                response = send(request, **options)
                said[call] = json.loads(response.content)
                return response

            source.session.send = kept
            if call == "markets":
                market = source.markets()[0]
            elif call == "candles":
                source.candles(market, asked_since())
            else:
                source.tickers([market])
    return source, market, said


def asked_since() -> int:
    return int(time.time() // STEP - SLOTS) * STEP


def mistaken(document: Any, ways: list[tuple[list[int], Any]]) -> Any:
    """A copy of ``document`` with the errors of ``ways`` put in."""
    document = json.loads(json.dumps(document))
    for way, thing in ways:
        place = document
        for depth, turn in enumerate(way):
            if not isinstance(place, list | dict) or not place:
                break
            key = turn % len(place) if isinstance(place, list) else list(place)[turn % len(place)]
            if depth == len(way) - 1 or not isinstance(place[key], list | dict) or not place[key]:
                place[key] = copy.deepcopy(thing)
                break
            place = place[key]
    return document


def answering(source: Source, body: bytes, status: int) -> None:
    """Makes every later answer this one."""

    def send(request: requests.PreparedRequest, **_: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw, response.url = status, BytesIO(body), str(request.url)
        response.headers["Content-Type"] = "application/json"
        return response

    source.session.send = send


def good_markets(found: list[Market]) -> None:
    assert all(MARKET_ID.fullmatch(market.id) for market in found)
    assert len({market.id for market in found}) == len(found)


def good_tickers(found: dict[str, Ticker]) -> None:
    for ticker in found.values():
        assert 0 < ticker.price < 1e19
        assert ticker.traded is None or 0 <= ticker.traded < 1e19


def good_candles(found: Candles) -> None:
    slots, values = candles.fill(found, int(time.time() // STEP) * STEP, STEP, 1.0)
    for times, numbers in ((found.slots, found.values), (slots, values)):
        assert np.isfinite(numbers).all()
        assert (numbers >= 0).all()
        assert (numbers <= candles.LARGEST).all()
        assert (numbers[:, 0] > 0).all()
        assert not (times % STEP).any()
        assert (np.diff(times) > 0).all()
        assert (times <= time.time() + STEP).all()


CALLS: dict[str, tuple[Callable, Callable]] = {
    "markets": (lambda source, market: source.markets(), good_markets),
    "candles": (lambda source, market: source.candles(market, asked_since()), good_candles),
    "tickers": (lambda source, market: source.tickers([market]), good_tickers),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_whatever_is_answered_it_is_good_or_a_source_error(server: type[ExchangeServer], call: str) -> None:
    source, market, said = recorded(server)
    ask, judge = CALLS[call]
    taken = 0

    @settings(max_examples=EXAMPLES)
    @given(
        st.one_of(
            wrong.map(lambda ways: mistaken(said[call], ways)),
            wrong.map(lambda ways: mistaken(said[call], ways)),
            answers,
        ),
        st.sampled_from([200] * 8 + [400, 404, 429]),
    )
    def hold(document: Any, status: int) -> None:
        nonlocal taken
        answering(source, json.dumps(document).encode(), status)
        try:
            found = ask(source, market)
        except SourceError as error:
            assert error.reason and str(error) and len(str(error)) < 2_000
            return
        taken += 1
        judge(found)

    hold()
    answering(source, json.dumps(said[call]).encode(), 200)
    try:
        ask(source, market)
    except SourceError as error:  # the last wrong answer may have said that no allowance is left: that refuses one call
        assert error.reason == "allowance_spent"
    judge(ask(source, market))  # a good answer still works afterwards
    assert taken > EXAMPLES / 50
