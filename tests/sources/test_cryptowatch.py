"""Cryptowatch's candles: valid answers, wrong ones, random ones, and the allowance."""

import json
import math
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cryptowatch import BTCUSD, CLOCK, NOW, SLOT, json_values, says, shared_server
from tracker.errors import SourceError, TrackerError
from tracker.models import Candles
from tracker.series.ring import DAY, Ring
from tracker.settings import load
from tracker.sources import open_source
from tracker.sources.cryptowatch import PAGE, Cryptowatch


def candle(slot, price=2.0, volume=3.0):
    """A candle in the service's format: closing time, open, high, low, close, volume, quote volume."""
    return [slot + 60, 9.0, 9.0, 9.0, price, volume, 99.0]


def answers(server, *candles):
    """Makes every later answer of the server hold these candles."""
    says(server, {"result": {"60": list(candles)}, "allowance": {"cost": 0.015, "remaining": 9.985}})


def refused(source, since=SLOT - 600, market=BTCUSD):
    with pytest.raises(SourceError) as refusal:
        source.candles(market, since)
    assert len(str(refusal.value)) < 500
    return refusal.value.reason


def test_a_candle_is_named_by_its_opening(source, server):
    # given the recorded example, whose times are closing times; the last one is unfinished and closes in the future
    answers(
        server,
        [SLOT, 29141.6, 29141.7, 29140, 29140, 0.60156626, 17529.658333979],
        [SLOT + 60, 29140.1, 29142.7, 29140, 29142.7, 29.70829964, 865703.066041696],
    )
    # when
    candles = source.candles(BTCUSD, SLOT - 60)
    # then
    assert candles.slots.tolist() == [SLOT - 60, SLOT]
    assert candles.values.tolist() == [[29140.0, 0.60156626], [29142.7, 29.70829964]]
    assert candles.covered == SLOT - 60


def test_what_is_asked_for_is_what_is_missing(source, server):
    answers(server)
    source.candles(BTCUSD, SLOT - 60)
    [asked] = server.asked
    assert urlsplit(asked).path == "/markets/kraken/btcusd/ohlc"
    query = {name: int(value) for name, [value] in parse_qs(urlsplit(asked).query).items()}
    assert query["periods"] == 60
    assert query["after"] <= SLOT  # the closing time of the first one
    assert "before" not in query


def test_candles_before_those_asked_for_are_left_out(source, server):
    answers(server, *(candle(SLOT - 60 * age) for age in range(10, -1, -1)))
    assert source.candles(BTCUSD, SLOT - 60).slots.tolist() == [SLOT - 60, SLOT]


@pytest.mark.parametrize("result", [{"60": []}, {"60": None}])
def test_no_candles_are_an_answer(source, server, result):
    says(server, {"result": result})
    assert source.candles(BTCUSD, SLOT - 600).slots.tolist() == []


def archive(server, slots, most=PAGE, inclusive=True):
    """Makes the server answer with ``slots`` as the service did: bounds on closing times, at most 1,000 candles."""

    def answer(request):
        query = {name: int(value) for name, [value] in parse_qs(urlsplit(request.path).query).items()}
        margin = 0 if inclusive else 1
        closing = [
            slot + 60
            for slot in slots
            if query.get("after", 0) + margin <= slot + 60 <= query.get("before", 2**62) - margin
        ]
        body = json.dumps({"result": {"60": [candle(close - 60) for close in closing[-most:]]}}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("age", [0, 1, 998, 999, 1_000, 1_001, 1_440])
def test_a_day_is_more_than_one_answer_holds(source, server, age, inclusive):
    # given a server with inclusive or exclusive bounds: the documents do not say which
    archive(server, range(SLOT - 2 * DAY, SLOT + 1, 60), inclusive=inclusive)
    candles = source.candles(BTCUSD, SLOT - 60 * age)
    assert candles.slots.tolist() == list(range(SLOT - 60 * age, SLOT + 1, 60))
    assert len(server.asked) <= 3


@pytest.mark.parametrize("step", [180, 300, 900, 1_800, 3_600])
def test_other_steps_are_other_periods(server, step):
    source = Cryptowatch(server.url, "", step, CLOCK)
    slot = Ring(step).slot(NOW)
    says(server, {"result": {str(step): [[slot + step, 1, 1, 1, 2.0, 3.0, 1]]}})
    assert source.candles(BTCUSD, slot).slots.tolist() == [slot]
    assert f"periods={step}" in server.asked[0]


def test_a_key_is_sent_and_shown_to_nobody(server):
    source = open_source("cryptowatch", load({"CRYPTOWATCH_URL": server.url, "CRYPTOWATCH_KEY": "hunter2"}))
    server.says(b'{"error": "unknown key"}', 401)
    with pytest.raises(SourceError) as refusal:
        source.candles(BTCUSD, SLOT)
    assert server.headers["X-CW-API-Key"] == "hunter2"
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.reason == "http_401"


@pytest.mark.parametrize("key", [" hunter2", "hunter2\n", "hun\nter2", "hunter2é☃"])
def test_a_key_that_cannot_be_sent_is_shown_to_nobody_either(server, key):
    says(server, {"result": {"60": []}})
    try:
        source = open_source("cryptowatch", load({"CRYPTOWATCH_URL": server.url, "CRYPTOWATCH_KEY": key}))
        source.candles(BTCUSD, Ring().slot(time.time()))
    except TrackerError as error:
        assert "ter2" not in str(error)


@pytest.mark.parametrize("pair", ["a/b", "a..", "a?b=c", "a#b", "ü", "a b", "%2e%2e", "a:b"])
def test_a_market_of_odd_characters_stays_in_its_place(source, server, pair):
    server.says(b"{}", 404)
    assert refused(source, market=SimpleNamespace(id=f"x:{pair}")) == "http_404"
    assert server.asked[0].startswith("/markets/x/") and server.asked[0].partition("?")[0].endswith("/ohlc")
    assert server.asked[0].count("/") == 4


LIES = {
    "a number": 5,
    "a list": [],
    "null": None,
    "no result": {},
    "an error": {"error": "Exchange not found"},
    "result null": {"result": None},
    "result a list": {"result": []},
    "result text": {"result": "60"},
    "no period": {"result": {}},
    "another period": {"result": {"180": []}},
    "period a number": {"result": {"60": 0}},
    "period false": {"result": {"60": False}},
    "period an object": {"result": {"60": {}}},
    "candle null": {"result": {"60": [None]}},
    "candle an object": {"result": {"60": [{"0": 1}]}},
    "candle text": {"result": {"60": ["1234567"]}},
    "candle empty": {"result": {"60": [[]]}},
    "candle short": {"result": {"60": [candle(SLOT)[:5]]}},
    "time text": {"result": {"60": [[str(SLOT + 60), *candle(SLOT)[1:]]]}},
    "time float": {"result": {"60": [[SLOT + 60.0, *candle(SLOT)[1:]]]}},
    "time true": {"result": {"60": [[True, *candle(SLOT)[1:]]]}},
    "time odd": {"result": {"60": [candle(SLOT + 1)]}},
    "time in milliseconds": {"result": {"60": [[(SLOT + 60) * 1_000, *candle(SLOT)[1:]]]}},
    "time of 63 bits": {"result": {"60": [candle(60 * 2**57)]}},
    "time beyond 64 bits": {"result": {"60": [candle(60 * 2**70)]}},
    "time in two minutes": {"result": {"60": [candle(SLOT), candle(SLOT + 120)]}},
    "time in a year": {"result": {"60": [candle(SLOT + 365 * DAY)]}},
    "unsorted": {"result": {"60": [candle(SLOT), candle(SLOT - 60)]}},
    "twice": {"result": {"60": [candle(SLOT), candle(SLOT)]}},
    "too many": {"result": {"60": [candle(SLOT)] * (10 * PAGE + 1)}},
    "price text": {"result": {"60": [candle(SLOT, price="2.0")]}},
    "price null": {"result": {"60": [candle(SLOT, price=None)]}},
    "price true": {"result": {"60": [candle(SLOT, price=True)]}},
    "price 0": {"result": {"60": [candle(SLOT, price=0)]}},
    "price negative": {"result": {"60": [candle(SLOT, price=-1.5)]}},
    "price huge": {"result": {"60": [candle(SLOT, price=1e308)]}},
    "price beyond 64 bits": {"result": {"60": [candle(SLOT, price=10**30)]}},
    "volume negative": {"result": {"60": [candle(SLOT, volume=-1e-9)]}},
    "volume text": {"result": {"60": [candle(SLOT, volume="3")]}},
    "volume a list": {"result": {"60": [candle(SLOT, volume=[3])]}},
    "volume huge": {"result": {"60": [candle(SLOT, volume=1e308)]}},
    "price NaN": {"result": {"60": [candle(SLOT, price=math.nan)]}},
    "volume infinite": {"result": {"60": [candle(SLOT, volume=math.inf)]}},
}


@pytest.mark.parametrize("document", LIES.values(), ids=LIES)
def test_a_lie_is_refused_and_the_next_answer_taken(source, server, document):
    says(server, document)
    assert refused(source) in {
        "not_candles", "not_json", "bad_time", "future", "unsorted", "not_a_number", "negative", "implausible",
    }  # fmt: skip
    answers(server, candle(SLOT))
    assert source.candles(BTCUSD, SLOT - 600).slots.tolist() == [SLOT]


def test_a_number_beyond_what_floats_hold_is_refused(source, server):
    server.says(b'{"result":{"60":[[%d,1,1,1,1e999,1,1]]}}' % (SLOT + 60))
    assert refused(source) in {"not_json", "not_finite"}


def test_a_bad_candle_leaves_the_good_ones(source, server):
    answers(server, candle(SLOT - 180), candle(SLOT - 120, price=-1), candle(SLOT - 60, volume="3"), candle(SLOT))
    candles = source.candles(BTCUSD, SLOT - 600)
    assert candles.slots.tolist() == [SLOT - 180, SLOT]
    assert candles.refused == {"negative": 1, "not_a_number": 1}
    assert candles.refused_slots == {SLOT - 120, SLOT - 60}


@pytest.mark.parametrize(("status", "body"), [(404, b'{"error":"Instrument not found"}'), (429, b""), (502, b"<html>")])
def test_an_error_is_refused_by_its_status(source, server, status, body):
    server.says(body, status)
    assert refused(source) == f"http_{status}"


def test_a_page_of_html_is_refused(source, server):
    server.says(b"<!DOCTYPE html><title>Just a moment...</title>", Content_Type="text/html")
    assert refused(source) == "not_json"


def test_one_bad_page_refuses_all_pages(source, server):
    # given: the second page fails
    def answer(request):
        good = len(server.asked) % 2 == 1
        body = json.dumps({"result": {"60": [candle(SLOT - DAY)]}}).encode() if good else b"<html>"
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer
    assert refused(source, since=SLOT - DAY) == "not_json"


numbers = json_values | st.floats(0, 1e18) | st.integers(0, 100)
some_candles = st.tuples(
    st.integers(-12, 4).map(lambda age: SLOT + 60 * age) | json_values, numbers, numbers, numbers, numbers, numbers
)
answer_like = st.fixed_dictionaries({"60": json_values | st.lists(some_candles, max_size=5)})


@shared_server
@given(document=json_values | st.fixed_dictionaries({"result": answer_like}))
def test_whatever_the_document_it_is_candles_or_a_source_error(source, server, document):
    says(server, document)
    try:
        assert isinstance(source.candles(BTCUSD, SLOT - 600), Candles)
    except SourceError as refusal:
        assert refusal.reason


@shared_server
@given(body=st.binary(max_size=200))
def test_whatever_the_bytes_it_is_candles_or_a_source_error(source, server, body):
    server.says(body)
    with pytest.raises(SourceError):
        source.candles(BTCUSD, SLOT - 600)


@pytest.mark.parametrize(
    ("allowance", "spent"),
    [
        ({"cost": 0.015, "remaining": 0.01}, True),
        ({"cost": 525_989, "remaining": 3_999}, True),
        ({"cost": 0.015, "remaining": 9.985}, False),
        ({"cost": 0.015, "remaining": 0, "remainingPaid": 9_999_999_999}, False),
        ({"cost": 0, "remaining": 0}, False),
        ({"cost": "0.015", "remaining": None}, False),
        ([], False),
        (None, False),
    ],
)
def test_an_allowance_that_is_spent_pauses_before_it_is_refused(source, server, allowance, spent):
    says(server, {"result": {"60": []}, "allowance": allowance})
    source.candles(BTCUSD, SLOT)
    if not spent:
        source.candles(BTCUSD, SLOT)
        return
    with pytest.raises(SourceError) as refusal:
        source.candles(BTCUSD, SLOT)
    assert (refusal.value.reason, refusal.value.wait) == ("allowance_spent", 600)
    assert len(server.asked) == 1
    source.candles(BTCUSD, SLOT)  # the next call asks again
