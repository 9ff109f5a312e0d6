"""Cryptowatch's catalogue of markets."""

import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cryptowatch import json_values, pair, says, shared_server
from tracker.errors import SourceError
from tracker.models import Market
from tracker.sources.cryptowatch import PAGES


def listing(exchange="kraken", pair="btcusd", active=True):
    return {"id": 87, "exchange": exchange, "pair": pair, "active": active}


def catalogue(server, pairs, markets, cursor=None):
    """Makes the server serve these lists. ``cursor``: path -> function of a page's number (from 0) to its cursor."""
    pages = {"/pairs": pairs, "/markets": markets}

    def answer(request):
        path = urlsplit(request.path).path
        page = len([asked for asked in server.asked if urlsplit(asked).path == path]) - 1
        document = {"result": pages[path], **({"cursor": cursor(page)} if cursor else {})}
        body = json.dumps(document).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer


def test_markets_are_the_active_ones_with_their_currencies(source, server):
    catalogue(
        server,
        [pair(), pair("etheur", "eth", "eur")],
        [listing(), listing("Bitfinex", "BTCUSD"), listing(pair="etheur"), listing("gateio", active=False)],
    )
    assert source.markets() == [
        Market("kraken:btcusd", "btc", "usd"),
        Market("bitfinex:btcusd", "btc", "usd"),
        Market("kraken:etheur", "eth", "eur"),
    ]


def test_a_market_whose_pair_is_missing_is_left_out(source, server):
    catalogue(server, [pair()], [listing(pair="nosuch"), listing()])
    assert [market.id for market in source.markets()] == ["kraken:btcusd"]


@pytest.mark.parametrize(
    "name", ["", "a b", "a:b", "a/b", "a*", "ü", "x" * 65, "-x", None, 5, True, [], {}, "a\n", "\x00"]
)
def test_a_market_whose_name_is_no_id_is_left_out(source, server, name):
    catalogue(server, [pair(), pair(name)], [listing(name), listing(pair=name), listing()])
    assert [market.id for market in source.markets()] == ["kraken:btcusd"]


@pytest.mark.parametrize("active", [False, None, 0, 1, "true", "false", [], {}])
def test_only_true_is_active(source, server, active):
    catalogue(server, [pair()], [listing("a", active=active), {"exchange": "b", "pair": "btcusd"}, listing()])
    assert [market.id for market in source.markets()] == ["kraken:btcusd"]


def test_a_market_listed_twice_is_one(source, server):
    catalogue(server, [pair()], [listing(), listing("KRAKEN")])
    assert [market.id for market in source.markets()] == ["kraken:btcusd"]


@pytest.mark.parametrize(
    "odd", [{}, {"symbol": "btcusd"}, {"symbol": "btcusd", "base": "btc"}, {"symbol": "btcusd", "base": {"symbol": 5}}]
)
def test_a_market_whose_currencies_are_not_told_is_left_out(source, server, odd):
    catalogue(server, [odd, pair("ethusd", "eth")], [listing(), listing(pair="ethusd")])
    assert [market.id for market in source.markets()] == ["kraken:ethusd"]


def test_pages_are_followed_to_the_last(source, server):
    catalogue(server, [pair()], [listing()], lambda page: {"last": f"c{page}", "hasMore": page < 3})
    assert [market.id for market in source.markets()] == ["kraken:btcusd"]
    assert [asked for asked in server.asked if asked.startswith("/markets")] == [
        "/markets", "/markets?cursor=c0", "/markets?cursor=c1", "/markets?cursor=c2",
    ]  # fmt: skip


def test_a_cursor_that_never_ends_is_given_up(source, server):
    catalogue(server, [pair()], [listing()], lambda page: {"last": "again", "hasMore": True})
    with pytest.raises(SourceError) as refusal:
        source.markets()
    assert refusal.value.reason == "too_long"
    assert len(server.asked) == PAGES


@pytest.mark.parametrize(
    "cursor",
    [
        None, [], "c", 5, {}, {"hasMore": True}, {"last": "c"}, {"last": "", "hasMore": True},
        {"last": "c", "hasMore": "yes"}, {"last": None, "hasMore": True},
    ],
)  # fmt: skip
def test_a_cursor_that_leads_nowhere_ends_the_pages(source, server, cursor):
    catalogue(server, [pair()], [listing()], lambda page: cursor)
    assert len(source.markets()) == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "document",
    [
        5, [], None, {}, {"result": None}, {"result": {}}, {"result": "x"}, {"result": [1]}, {"result": [None]},
        {"result": [[]]}, {"error": "Route not found"},
    ],
)  # fmt: skip
def test_a_catalogue_of_another_shape_is_refused(source, server, document):
    says(server, document)
    with pytest.raises(SourceError) as refusal:
        source.markets()
    assert refusal.value.reason == "not_markets"


entry_like = st.dictionaries(
    st.sampled_from(["exchange", "pair", "active", "symbol", "base", "quote"]), json_values | st.just(True)
)


@shared_server
@given(result=st.lists(entry_like | st.just(listing()) | st.just(pair()), max_size=6) | json_values, cursor=json_values)
def test_whatever_the_catalogue_it_is_markets_or_a_source_error(source, server, result, cursor):
    server.asked.clear()
    catalogue(server, result, result, lambda page: cursor)
    try:
        assert all(isinstance(market, Market) and market.base and market.quote for market in source.markets())
    except SourceError as refusal:
        assert refusal.reason in {"not_markets", "not_json"}
