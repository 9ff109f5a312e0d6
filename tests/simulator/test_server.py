"""What the simulated exchange answers about markets: the minute in progress, candles, books."""

import gzip
import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.asked import BTCUSD, DAY, MINUTE, NOW, ask, at, candles, error, feed, result
from tests.support.candle_files import FOLDER, GOOD, HEADER, write
from tracker.simulator.feeds import Replay
from tracker.simulator.trades import Candle, trades, until
from tracker.simulator.views import PERIODS

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
        """The one-minute candles within [begin, end], fetched a thousand at a time."""
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

    @pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv.gz")), ids=lambda path: path.name)
    def test_a_replay_serves_its_file_bit_for_bit(self, path):
        pair = path.name.removesuffix(".csv.gz")
        replay = Replay(FOLDER, start=NOW)
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
