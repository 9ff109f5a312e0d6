"""The simulated exchange's catalogue, bulk lists, errors and allowance."""

import gzip
import json
import math
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from tests.support.asked import BTCUSD, DAY, KEY, MINUTE, NOW, Stopwatch, ask, at, candles, error, feed, result
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app


def pages(client, path, **query) -> Iterator[dict]:
    """Yields each page of a list, following the cursors."""
    while True:
        page = ask(client, path, **query)
        yield page
        if not page["cursor"]["hasMore"]:
            return
        query["cursor"] = page["cursor"]["last"]


def numbers(value):
    """All numbers at any depth of an answer."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for each in inner for number in numbers(each)]
    return [value] if isinstance(value, int | float) else []


class TestTheCatalogue:
    def test_a_market_pair_exchange_and_asset_look_as_recorded(self):
        client = at(NOW)
        root = "http://localhost"
        assert result(client, "/markets/kraken")[0] == {
            "id": 86, "exchange": "kraken", "pair": "btceur", "active": True, "route": f"{root}/markets/kraken/btceur",
        }  # fmt: skip
        market = result(client, BTCUSD)
        assert (market["id"], market["active"], "route" in market) == (87, True, False)
        assert market["routes"]["ohlc"] == f"{root}{BTCUSD}/ohlc"
        assert result(client, "/exchanges/kraken") == {
            "id": 4, "symbol": "kraken", "name": "Kraken", "active": True,
            "routes": {"markets": f"{root}/markets/kraken"},
        }  # fmt: skip
        pair = result(client, "/pairs/btcusd")
        assert (pair["id"], pair["base"]["symbol"], pair["quote"]["fiat"]) == (9, "btc", True)
        assert {market["exchange"] for market in pair["markets"]} == {"kraken", "coinbase", "bitfinex"}
        asset = result(client, "/assets/btc")
        assert (asset["id"], asset["sid"], asset["name"], asset["fiat"]) == (60, "bitcoin", "Bitcoin", False)
        assert all(market["pair"].endswith("btc") for market in asset["markets"]["quote"])
        assert len(result(client, "/exchanges")) == 3

    def test_routes_lead_to_what_they_name(self):
        client = at(NOW)
        routes = [
            entry["route"] for path in ("/assets", "/pairs", "/exchanges", "/markets") for entry in result(client, path)
        ]
        routes += result(client, "/")["indexes"] + list(result(client, BTCUSD)["routes"].values())
        assert all(ask(client, route) for route in routes)

    @pytest.mark.parametrize("path, count", [("/markets", 60), ("/pairs", 20), ("/assets", 9)])
    def test_lists_are_ordered_by_id(self, path, count):
        ids = [entry["id"] for entry in result(at(NOW), path)]
        assert ids == sorted(ids) and len(ids) == count

    @given(st.sampled_from(["/markets", "/pairs", "/assets", "/markets/summaries"]), st.integers(1, 70))
    @settings(max_examples=25, deadline=None)
    def test_pages_have_everything_once_whatever_their_size(self, path, limit):
        client = at(NOW)
        found = [list(page["result"]) for page in pages(client, path, limit=limit)]
        assert [entry for page in found for entry in page] == list(result(client, path))
        assert all(len(page) == limit for page in found[:-1])

    @given(st.integers(1, 70))
    @settings(max_examples=10, deadline=None)
    def test_pages_of_prices_have_everything_once_but_are_longer_than_asked_for(self, limit):
        client = at(NOW)
        found = [list(page["result"]) for page in pages(client, "/markets/prices", limit=limit)]
        assert [name for page in found for name in page] == list(result(client, "/markets/prices"))
        assert all(len(page) >= max(20, limit) for page in found[:-1])


class TestBulkLists:
    def test_prices_are_named_with_a_prefix_and_include_an_index(self):
        prices = result(at(NOW), "/markets/prices")
        assert prices["market:kraken:btcusd"] == result(at(NOW), f"{BTCUSD}/price")["price"]
        assert sum(name.startswith("market:") for name in prices) == 60
        assert sum(name.startswith("index:") for name in prices) == 1

    def test_summaries_are_keyed_by_name_or_id(self):
        by_name, by_id = (result(at(NOW), "/markets/summaries", **query) for query in ({}, {"keyBy": "id"}))
        assert by_name["kraken:btcusd"] == by_id["87"]
        one = by_name["kraken:btcusd"]
        assert {name: one[name] for name in ("price", "volume", "volumeQuote")} == result(at(NOW), f"{BTCUSD}/summary")
        assert (one["volumeBase"], one["volumeUSD"]) == (one["volume"], one["volumeQuote"])
        assert result(at(NOW), "/markets/summaries", keyBy="symbols", limit=3) == dict(list(by_name.items())[:3])

    def test_all_numbers_are_finite(self):
        for path in ("/markets/prices", "/markets/summaries"):
            assert all(math.isfinite(number) for number in numbers(result(at(NOW), path)))


class TestErrors:
    @pytest.mark.parametrize(
        "path, query, expected",
        [
            ("/markets/pricess", {}, (404, "Exchange not found")),
            ("/markets/nosuch/btcusd/price", {}, (404, "Exchange not found")),
            ("/exchanges/nosuch", {}, (404, "Exchange not found")),
            ("/markets/kraken/nosuch", {}, (404, "Instrument not found")),
            ("/markets/kraken/nosuch/ohlc", {}, (404, "Instrument not found")),
            ("/pairs/nosuch", {}, (404, "Instrument not found")),
            ("/assets/nosuch", {}, (404, "Asset not found")),
            (f"{BTCUSD}/nosuch", {}, (404, "Route not found")),
            ("/nosuch", {}, (404, "Route not found")),
            ("/markets", {"cursor": "nosuch"}, (400, "Invalid input")),
            ("/markets/prices", {"cursor": "é"}, (400, "Invalid input")),
            ("/markets", {"limit": "0"}, (400, "Invalid input")),
            ("/pairs", {"limit": "-3"}, (400, "Invalid input")),
            ("/assets", {"limit": "many"}, (400, "Invalid input")),
            ("/markets/summaries", {"keyBy": "name"}, (400, "Unkown sort parameter")),
            (f"{BTCUSD}/ohlc", {"periods": "61"}, (400, "Invalid input")),
            (f"{BTCUSD}/ohlc", {"after": "yesterday"}, (400, "Invalid input")),
            (f"{BTCUSD}/ohlc", {"after": "9" * 5_000}, (400, "Invalid input")),
            (f"{BTCUSD}/trades", {"since": "1.5"}, (400, "Invalid input")),
            (f"{BTCUSD}/orderbook", {"span": "inf"}, (400, "Invalid input")),
        ],
    )
    def test_have_the_texts_of_the_live_service(self, path, query, expected):
        response = at(NOW).get(path, query_string=query)
        assert (response.status_code, response.get_json()["error"]) == expected
        assert response.get_json()["allowance"]["remaining"] == 10
        assert response.content_type == "application/json"

    def test_a_cursor_is_good_for_its_list_only(self):
        cursor = ask(at(NOW), "/markets", limit=1)["cursor"]["last"]
        assert error(at(NOW), "/pairs", cursor=cursor) == (400, "Invalid input")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
    def test_only_get_is_allowed(self, method):
        response = at(NOW).open("/markets", method=method)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET")

    @given(
        st.text(max_size=30),
        st.dictionaries(st.sampled_from(["limit", "cursor", "apikey", "periods"]), st.text(max_size=9)),
    )
    @example("/", {"cursor": "A"})
    @settings(max_examples=60, deadline=None)
    def test_nothing_that_is_asked_makes_it_fail(self, path, query):
        assert at(NOW).get("/" + quote(path), query_string=query).status_code in (200, 400, 401, 404)
        assert at(NOW).get("/assets", query_string=query).status_code in (200, 400, 401)

    def test_a_defect_is_answered_as_a_server_error(self):
        class Broken(Generated):
            def candles(self, *_):
                raise RuntimeError("broken")

        assert error(at(NOW, Broken()), f"{BTCUSD}/price") == (500, "Internal server error")


def test_paths_match_in_any_case():
    assert result(at(NOW), "/MARKETS/Kraken/BTCUSD/Price") == result(at(NOW), f"{BTCUSD}/price")


def test_the_weeks_of_monday_begin_on_monday():
    monday, thursday = (candles(at(NOW), period=name)[-1][0] for name in ("604800_Monday", "604800"))
    assert (monday // DAY % 7, thursday // DAY % 7) == (4, 0)  # 1970 began on a Thursday


class TestTheAllowance:
    def test_of_a_caller_without_a_key_is_shown_and_never_spent_by_default(self):
        client = at(NOW)
        for _ in range(1_000):
            allowance = ask(client, f"{BTCUSD}/price")["allowance"]
        upgrade = "For unlimited API access, create an account at https://cryptowat.ch"
        assert allowance == {"cost": 0.005, "remaining": 10, "upgrade": upgrade}

    @pytest.mark.parametrize(
        "path, cost",
        [
            ("/", 0), ("/assets", 0.002), ("/assets/btc", 0.002), ("/pairs", 0.003), ("/pairs/btcusd", 0.002),
            ("/exchanges", 0.002), ("/exchanges/kraken", 0.002), ("/markets", 0.003), ("/markets/kraken", 0.002),
            (BTCUSD, 0.002), (f"{BTCUSD}/price", 0.005), (f"{BTCUSD}/summary", 0.005), (f"{BTCUSD}/trades", 0.01),
            (f"{BTCUSD}/orderbook", 0.01), (f"{BTCUSD}/orderbook/liquidity", 0.005),
            (f"{BTCUSD}/orderbook/calculator?amount=0.01", 0.015), (f"{BTCUSD}/ohlc?periods=60", 0.015),
            ("/markets/prices", 0.015), ("/markets/summaries", 0.015),
        ],
    )  # fmt: skip
    def test_falls_by_the_cost_of_the_request(self, path, cost):
        assert ask(at(NOW, budget=10), path)["allowance"]["cost"] == cost
        assert ask(at(NOW, budget=10), path)["allowance"]["remaining"] == pytest.approx(10 - cost)

    def test_lasts_for_666_bulk_requests_and_24_hours(self):
        clock = Stopwatch(NOW)
        client = Client(create_app(feed, clock, budget=10))
        path = f"{BTCUSD}/ohlc?periods=60&after={MINUTE}"
        for _ in range(666):
            ask(client, path)
        refused = client.get(path)
        assert refused.status_code == 429
        assert refused.get_json()["error"] and refused.get_json()["allowance"]["remaining"] == 0.01
        assert client.get("/markets/nosuch").status_code == 404

        clock.time = NOW + DAY - 1
        assert client.get(path).status_code == 429
        clock.time = NOW + DAY
        assert ask(client, path)["allowance"]["remaining"] == 9.985

    def test_is_spent_by_failures_too(self):
        client = at(NOW, budget=10)
        assert client.get("/markets/nosuch/btcusd/price").get_json()["allowance"]["remaining"] == 9.995

    def test_is_never_overspent_by_requests_at_once(self):
        app = create_app(feed, Stopwatch(NOW), budget=0.1)
        codes = []
        threads = [
            threading.Thread(target=lambda: codes.extend(Client(app).get("/exchanges").status_code for _ in range(20)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (codes.count(200), codes.count(429)) == (50, 50)

    @pytest.mark.parametrize("options", [{"headers": {"X-CW-API-Key": KEY}}, {"query_string": {"apikey": KEY}}])
    def test_of_a_caller_with_a_key_is_never_spent(self, options):
        client = at(NOW, budget=0, keys=[KEY])
        allowance = client.get("/markets", **options).get_json()["allowance"]
        assert (allowance["cost"], allowance["remaining"], allowance["remainingPaid"]) == (0, 10, 9_999_999_999)
        assert len(allowance["account"]) == 36 and "upgrade" not in allowance
        assert client.get("/markets").status_code == 429

    def test_an_unknown_key_is_refused(self):
        for client in (at(NOW), at(NOW, keys=[KEY])):
            assert client.get("/markets", headers={"X-CW-API-Key": "x" * 20}).status_code == 401


class TestCompression:
    def test_a_long_answer_is_compressed_for_those_who_read_it(self):
        client = at(NOW)
        response = client.get(f"{BTCUSD}/ohlc?periods=60", headers={"Accept-Encoding": "gzip, deflate"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(response.data)) == ask(client, f"{BTCUSD}/ohlc?periods=60")

    def test_a_short_answer_is_not(self):
        response = at(NOW).get(f"{BTCUSD}/price", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in response.headers
