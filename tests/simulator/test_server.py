import gzip
import json
import math
import signal
import socket
import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from urllib.parse import quote

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from tests.simulator.test_feeds import CANDLES, GOOD, HEADER, write
from tests.support.clients import simulator, start_simulator
from tests.support.servers import answers, free_port, wait_for
from tracker.simulator.feeds import Generated, Replay
from tracker.simulator.server import create_app
from tracker.simulator.trades import Candle, trades, until
from tracker.simulator.views import PERIODS

MINUTE = 1_700_000_040
NOW = MINUTE + 30.5
DAY = 86_400
KEY = "k" * 20
BTCUSD = "/markets/kraken/btcusd"

feed = Generated(seed=7, markets=60, exchanges=3)


class Stopwatch:
    """A clock that shows what it is set to."""

    def __init__(self, time):
        self.time = time

    def now(self):
        return self.time


def at(now, source=feed, **options):
    """A client of the exchange as it stands at ``now``."""
    return Client(create_app(source, Stopwatch(now), **options))


def ask(client, path, **query):
    """The whole answer to a request that must succeed."""
    response = client.get(path, query_string=query or None)
    assert response.status_code == 200, response.text
    return response.get_json()


def result(client, path, **query):
    return ask(client, path, **query)["result"]


def candles(client, path=BTCUSD, period="60", **bounds):
    return result(client, f"{path}/ohlc", periods=period, **bounds)[period]


def error(client, path, **query):
    response = client.get(path, query_string=query)
    return response.status_code, response.get_json()["error"]


def pages(client, path, **query) -> Iterator[dict]:
    """Each page of a list, by its cursors."""
    while True:
        page = ask(client, path, **query)
        yield page
        if not page["cursor"]["hasMore"]:
            return
        query["cursor"] = page["cursor"]["last"]


def numbers(value):
    """All numbers in an answer."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for each in inner for number in numbers(each)]
    return [value] if isinstance(value, int | float) else []


finite = st.floats(1e-9, 1e9)
real_candles = st.builds(
    lambda minute, prices, order, volume: Candle(
        minute * 60.0, prices[order], prices[3], prices[0], prices[-1], volume
    ),
    st.integers(0, 2**25),
    st.lists(finite, min_size=4, max_size=4).map(sorted),
    st.integers(0, 3),
    st.one_of(st.just(0.0), st.floats(1e-8, 1e12)),
)


class TestTheMinuteInProgress:
    @given(real_candles, st.randoms())
    def test_trades_make_up_their_candle_exactly(self, candle, random):
        made = trades("kraken:btcusd", candle)

        prices = [trade.price for trade in made]
        assert (prices[0], max(prices), min(prices), prices[-1]) == candle[1:5]
        assert sum(Fraction(trade.amount) for trade in made) == Fraction(candle.volume)
        shuffled = random.sample(made, len(made))
        assert sum(trade.amount for trade in shuffled) == math.fsum(t.amount for t in made) == candle.volume
        times = [trade.time for trade in made]
        assert times == sorted(times) and candle.open_time <= times[0] and times[-1] < candle.open_time + 60

    @given(real_candles, st.lists(st.floats(0, 60), min_size=2).map(sorted))
    def test_a_candle_only_grows_until_it_is_the_finished_one(self, candle, seconds):
        views = [until("kraken:btcusd", candle, candle.open_time + second) for second in seconds]

        seen = [view for view in views if view]
        assert views == [None] * (len(views) - len(seen)) + seen
        for before, after in pairwise(seen):
            assert before.open == after.open and before.high <= after.high and before.low >= after.low
            assert before.volume <= after.volume
        assert until("kraken:btcusd", candle, candle.open_time + 60) == candle

    @given(st.lists(st.floats(MINUTE, MINUTE + 179), min_size=2, max_size=6).map(sorted))
    @settings(max_examples=40, deadline=None)
    def test_closed_candles_stay_and_volume_grows_whenever_it_is_looked_at(self, times):
        looks = [{row[0]: row for row in candles(at(now), after=MINUTE)} for now in times]
        for now, look in zip(times, looks, strict=True):
            closed = feed.candles("kraken", "btcusd", MINUTE - 60, int(now // 60) * 60 - 60).tolist()
            assert [look[row[0] + 60][:6] for row in closed] == [[row[0] + 60, *row[1:]] for row in closed]
            assert all(close_time - 60 <= now for close_time in look)
        for before, after in pairwise(looks):
            assert all(after[close_time][5] >= row[5] for close_time, row in before.items())

    def test_two_requests_at_the_same_instant_agree(self):
        paths = ("ohlc?periods=60", "price", "summary", "trades", "orderbook", "orderbook/liquidity")
        for path in paths:
            assert ask(at(NOW), f"{BTCUSD}/{path}") == ask(at(NOW), f"{BTCUSD}/{path}")

    def test_price_summary_trades_and_candle_tell_the_same(self):
        client = at(NOW)
        *_, closed, unfinished = candles(client)
        assert closed[0] == MINUTE and unfinished[0] == MINUTE + 60 > NOW
        assert result(client, f"{BTCUSD}/price")["price"] == unfinished[4]
        assert result(client, f"{BTCUSD}/summary")["price"]["last"] == unfinished[4]
        made = result(client, f"{BTCUSD}/trades", since=MINUTE)
        assert made[-1][2] == unfinished[4] and sum(amount for *_, amount in made) == unfinished[5]

    def test_before_the_first_trade_of_a_minute_there_is_no_unfinished_candle(self):
        (candle,) = feed.candles("kraken", "btcusd", MINUTE, MINUTE)
        first = trades("kraken:btcusd", Candle(*candle))[0].time
        assert candles(at(first - 0.1))[-1][0] == MINUTE
        assert candles(at(first))[-1][0] == MINUTE + 60


class TestCandles:
    def test_without_bounds_the_newest_thousand_are_served_with_closing_times(self):
        rows = candles(at(NOW))
        given = feed.candles("kraken", "btcusd", MINUTE - 999 * 60, MINUTE - 60).tolist()
        assert len(rows) == 1_000
        assert [row[:6] for row in rows[:-1]] == [[row[0] + 60, *row[1:]] for row in given]
        assert all(type(row[0]) is int for row in rows)

    def test_bounds_are_of_the_closing_time_and_inclusive(self):
        bounds = {"after": MINUTE - 120, "before": MINUTE}
        assert [row[0] for row in candles(at(NOW), **bounds)] == [MINUTE - 120, MINUTE - 60, MINUTE]
        assert [row[0] for row in candles(at(NOW), after=MINUTE - 119, before=MINUTE - 1)] == [MINUTE - 60]

    def test_more_than_a_thousand_are_cut_to_the_newest(self):
        rows = candles(at(NOW), after=MINUTE - 3_000 * 60, before=MINUTE)
        assert [row[0] for row in rows] == [MINUTE - 60 * back for back in range(999, -1, -1)]

    def test_a_thin_market_has_a_thousand_candles_too(self):
        market = next(m for m in feed.markets if len(feed.candles(m.exchange, m.pair, MINUTE - DAY, MINUTE)) < 1_000)
        rows = candles(at(NOW), f"/markets/{market.exchange}/{market.pair}")
        assert len(rows) == 1_000 and rows[0][0] < MINUTE - 1_440 * 60

    @pytest.mark.parametrize("period", PERIODS)
    def test_a_period_aggregates_the_minutes(self, period):
        seconds, offset = PERIODS[period]

        rows = candles(at(NOW), period=period, after=MINUTE - 2 * 7 * DAY)

        assert rows[-1][0] - seconds <= NOW < rows[-1][0]
        for close_time, opening, high, low, closing, volume, quote_volume in rows[-2:]:
            assert (close_time - offset) % seconds == 0
            minutes = self.minutes(close_time - seconds, close_time)
            assert (opening, closing) == (minutes[0][1], minutes[-1][4])
            assert (high, low) == (max(row[2] for row in minutes), min(row[3] for row in minutes))
            assert volume == pytest.approx(sum(row[5] for row in minutes))
            assert quote_volume == pytest.approx(sum(row[6] for row in minutes))

    def minutes(self, begin, end):
        """The one-minute candles within [begin, end], a thousand at a time."""
        client, starts = at(NOW), range(begin, end, 60_000)
        answers = [candles(client, after=start + 60, before=min(start + 60_000, end)) for start in starts]
        return [row for answer in answers for row in answer]

    def test_all_periods_are_served_by_default(self):
        everything = result(at(NOW), f"{BTCUSD}/ohlc", after=MINUTE - DAY)
        assert list(everything) == list(PERIODS)
        assert all(everything.values())

    def test_a_period_without_candles_is_empty(self):
        assert result(at(NOW), f"{BTCUSD}/ohlc", after=MINUTE + DAY, periods="60,300") == {"60": [], "300": []}
        assert candles(at(NOW), before=-5) == [] == candles(at(NOW), after=10**40)

    def test_the_quote_volume_fits_the_price_range(self):
        assert all(low * volume <= quote <= high * volume for _, _, high, low, _, volume, quote in candles(at(NOW)))

    @pytest.mark.parametrize("path", sorted(CANDLES.glob("*.csv.gz")), ids=lambda path: path.name)
    def test_a_replay_serves_its_file_bit_for_bit(self, path):
        pair = path.name.removesuffix(".csv.gz")
        replay = Replay(CANDLES, start=NOW)
        client = at(replay.end, replay)
        first = replay.end - 10 * DAY - 1_000
        served = [
            row[:6]
            for begin in range(first, replay.end, 60_000)
            for row in candles(client, f"/markets/replay/{pair}", after=begin + 1, before=begin + 60_000)
        ]
        with gzip.open(path, "rt") as file:
            rows = [[float(cell) for cell in line.split(",")] for line in file.read().splitlines()[1:]]
        assert served == [[row[0] + replay.shift + 60, *row[1:]] for row in rows]


class TestAMarketThatDoesNotTrade:
    @pytest.fixture
    def replay(self, tmp_path):
        write(tmp_path, "ethbtc.csv.gz", HEADER, GOOD, "660,3,3,3,3,1")
        return Replay(tmp_path, start=MINUTE, at=600)

    def test_shows_nothing_before_its_first_trade(self, replay):
        client, market = at(MINUTE - 1, replay), "/markets/replay/ethbtc"
        assert result(client, f"{market}/price") == {"price": 0}
        assert result(client, f"{market}/trades") == candles(client, market) == []
        assert result(client, f"{market}/orderbook") == {"asks": [], "bids": [], "seqNum": MINUTE - 1}
        assert result(client, f"{market}/summary")["volume"] == 0
        assert result(client, f"{market}/orderbook/liquidity")["bid"]["base"]["25"] == "0"
        assert error(client, f"{market}/orderbook/calculator", amount=1) == (400, "Invalid input")
        assert result(client, "/markets/prices") == {}

    def test_keeps_its_last_price_after_the_last_one(self, replay):
        client, market = at(replay.end + 30 * DAY, replay), "/markets/replay/ethbtc"
        assert result(client, f"{market}/price") == {"price": 3}
        change = {"percentage": 0, "absolute": 0}
        summary = {"price": {"last": 3, "high": 3, "low": 3, "change": change}, "volume": 0, "volumeQuote": 0}
        assert result(client, f"{market}/summary") == summary
        assert len(candles(client, market, after=MINUTE)) == 2
        assert result(client, f"{market}/trades") == []


class TestAMarket:
    def test_its_summary_is_of_the_last_24_hours(self):
        client = at(NOW)
        rows = [*candles(client, after=MINUTE - DAY + 120, before=MINUTE - 59_940), *candles(client)]
        summary = result(client, f"{BTCUSD}/summary")
        assert summary["price"]["high"] == max(row[2] for row in rows)
        assert summary["price"]["low"] == min(row[3] for row in rows)
        change = rows[-1][4] - rows[0][1]
        assert summary["price"]["change"] == pytest.approx({"percentage": change / rows[0][1], "absolute": change})
        assert summary["volume"] == pytest.approx(sum(row[5] for row in rows))
        assert summary["volumeQuote"] == pytest.approx(sum(row[6] for row in rows))

    def test_its_trades_are_the_newest_and_oldest_comes_first(self):
        client = at(NOW)
        made = result(client, f"{BTCUSD}/trades", limit=1_000)
        assert len(made) == 1_000 and made == sorted(made, key=lambda trade: trade[1])
        assert all(id == 0 and type(time) is int and time <= NOW for id, time, *_ in made)
        assert result(client, f"{BTCUSD}/trades") == made[-50:]
        assert result(client, f"{BTCUSD}/trades", limit=7) == made[-7:]
        assert result(client, f"{BTCUSD}/trades", limit=5_000) == made
        since = made[-20][1]
        assert result(client, f"{BTCUSD}/trades", since=since) == [trade for trade in made if trade[1] >= since]

    def test_its_order_book_is_sorted_around_the_price(self):
        client = at(NOW)
        book, price = result(client, f"{BTCUSD}/orderbook"), result(client, f"{BTCUSD}/price")["price"]
        asks, bids = [level[0] for level in book["asks"]], [level[0] for level in book["bids"]]
        assert asks == sorted(set(asks)) and bids == sorted(set(bids), reverse=True)
        assert bids[0] < price < asks[0]
        assert all(amount > 0 for side in ("asks", "bids") for _, amount in book[side])

    def test_its_order_book_is_cut_by_limit_depth_and_span(self):
        client = at(NOW)
        whole = result(client, f"{BTCUSD}/orderbook")
        assert result(client, f"{BTCUSD}/orderbook", limit=3)["asks"] == whole["asks"][:3]
        depth = whole["bids"][0][1] + whole["bids"][1][1] / 2
        assert result(client, f"{BTCUSD}/orderbook", depth=depth)["bids"] == whole["bids"][:2]
        mid = (whole["asks"][0][0] + whole["bids"][0][0]) / 2
        near = [level for level in whole["asks"] if level[0] <= mid * 1.01]
        assert result(client, f"{BTCUSD}/orderbook", span=1.0)["asks"] == near

    def test_its_liquidity_sums_the_order_book(self):
        client = at(NOW)
        book, liquidity = result(client, f"{BTCUSD}/orderbook"), result(client, f"{BTCUSD}/orderbook/liquidity")
        mid = (book["asks"][0][0] + book["bids"][0][0]) / 2
        near = [level for level in book["bids"] if level[0] >= mid * (1 - 0.01)]
        assert float(liquidity["bid"]["base"]["100"]) == pytest.approx(sum(amount for _, amount in near))
        assert float(liquidity["bid"]["quote"]["100"]) == pytest.approx(sum(price * amount for price, amount in near))
        assert " ".join(liquidity["ask"]["base"]) == "25 50 75 100 150 200 250 300 400 500"

    def test_its_calculator_walks_the_order_book(self):
        client = at(NOW)
        asks = result(client, f"{BTCUSD}/orderbook")["asks"]
        amount = asks[0][1] + asks[1][1] / 2
        buy = result(client, f"{BTCUSD}/orderbook/calculator", amount=amount)["buy"]
        spend = asks[0][0] * asks[0][1] + asks[1][0] * asks[1][1] / 2
        assert float(buy["spend"]) == pytest.approx(spend)
        assert float(buy["avgPrice"]) == pytest.approx(spend / amount)
        assert float(buy["reachPrice"]) == asks[1][0]
        assert float(buy["reachDelta"]) == pytest.approx(asks[1][0] - asks[0][0])
        assert all(type(value) is str for value in buy.values())

    @pytest.mark.parametrize("amount", [None, "0", "-1", "nan", "1e30", "x"])
    def test_its_calculator_refuses_what_the_book_cannot_fill(self, amount):
        query = {"amount": amount} if amount else {}
        assert error(at(NOW), f"{BTCUSD}/orderbook/calculator", **query) == (400, "Invalid input")


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


class TestTheProcess:
    def test_serves_over_one_connection_and_spends_one_budget(self):
        with simulator(markets=6, budget=0.3, keys=[KEY]) as url, requests.Session() as session:
            answers = [session.get(f"{url}{BTCUSD}/ohlc", params={"periods": 60}, timeout=10) for _ in range(21)]
            assert [answer.status_code for answer in answers] == [200] * 20 + [429]
            assert answers[0].headers["Content-Encoding"] == "gzip"
            (adapter,) = {id(a): a for a in session.adapters.values() if a.poolmanager.pools.keys()}.values()
            (pool,) = (adapter.poolmanager.pools[key] for key in adapter.poolmanager.pools.keys())  # noqa: SIM118
            assert (pool.num_connections, pool.num_requests) == (1, 21)
            assert session.get(f"{url}/", headers={"X-CW-API-Key": KEY}, timeout=10).json()["allowance"]["account"]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_when_told_and_says_what_it_replays(self, number):
        port = free_port()
        with start_simulator(port=port, candles=str(CANDLES), at=1_517_000_000) as process:
            line = process.stdout.readline()
            wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "it answers")
            process.send_signal(number)
            rest, errors = process.communicate(timeout=30)
        assert line.startswith(f"simulator: http://127.0.0.1:{port}, 10 markets, replaying ")
        assert "it is 2018-01-26 20:5" in line and "the candles end at 2018-01-30 04:52 UTC" in line
        assert (process.returncode, rest, errors) == (0, "", "")

    def test_leaves_the_port_when_it_is_killed(self):
        port = free_port()
        with start_simulator(port=port) as process:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "the first one answers")
            process.kill()
        wait_for(lambda: not answers(f"http://127.0.0.1:{port}"), "its worker is gone")
        with simulator(port=port) as url:
            assert answers(url)

    def test_says_in_one_line_that_its_port_is_taken(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with start_simulator(port=port) as process:
                output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors == f"simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"

    def test_says_in_one_line_that_there_is_nothing_to_replay(self, tmp_path):
        with start_simulator(candles=str(tmp_path)) as process:
            output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors == f"simulator: {tmp_path}: no candle files (EXCHANGE-PAIR.csv.gz or PAIR.csv.gz)\n"
