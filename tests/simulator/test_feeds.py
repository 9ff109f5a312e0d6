"""The candles of the simulated exchange: generated ones, and replayed files."""

import csv
import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.candle_files import FOLDER, GOOD, HEADER, write
from tracker.simulator.catalogue import split_pair
from tracker.simulator.feeds import BLOCK, Generated, Replay

ROOT = Path(__file__).parents[2]
NOW = 1_700_000_040
DAY = 86_400

feed = Generated(seed=7, markets=60, exchanges=3)


def day_of(feed, market):
    return feed.candles(market.exchange, market.pair, NOW - DAY, NOW)


def test_a_restart_and_another_process_generate_the_same_candles():
    code = """
import hashlib
from tracker.simulator.feeds import Generated
print(hashlib.sha256(Generated(7, 60, 3).candles("kraken", "ethbtc", 1699913640, 1700000040).tobytes()).hexdigest())
"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == hashlib.sha256(feed.candles("kraken", "ethbtc", NOW - DAY, NOW).tobytes()).hexdigest()


def test_another_seed_generates_other_candles():
    assert not np.array_equal(day_of(feed, feed.markets[0]), day_of(Generated(8), feed.markets[0]))


@given(st.integers(0, 2**31), st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_candles_do_not_depend_on_how_they_are_asked_for(start, steps):
    fresh, ends = Generated(seed=7), np.cumsum(steps).tolist()

    whole = feed.candles("kraken", "btcusd", start, start + ends[-1])
    begins = [0, *(end + 1 for end in ends[:-1])]
    parts = [fresh.candles("kraken", "btcusd", start + b, start + e) for b, e in zip(begins, ends, strict=True)]

    assert np.array_equal(whole, np.concatenate(parts))


def test_more_markets_do_not_change_those_that_are():
    many = Generated(seed=7, markets=600)
    assert set(feed.markets) <= set(many.markets)
    assert np.array_equal(day_of(many, feed.markets[-1]), day_of(feed, feed.markets[-1]))


def test_ten_thousand_markets_have_names_and_ids_of_their_own():
    markets = Generated(markets=10_000, exchanges=25).markets
    assert len({market.name for market in markets}) == len({market.id for market in markets}) == 10_000
    assert len({market.exchange for market in markets}) == 25
    assert all(split_pair(market.pair) == (market.base, market.quote) for market in markets)


def test_known_markets_have_the_ids_that_were_recorded():
    ids = {market.name: market.id for market in feed.markets}
    assert (ids["bitfinex:btcusd"], ids["coinbase:btcusd"], ids["kraken:btceur"], ids["kraken:btcusd"]) == (
        1,
        65,
        86,
        87,
    )


@pytest.mark.parametrize("market", Generated(seed=7).markets, ids=lambda market: market.name)
def test_generated_candles_are_candles(market):
    rows = day_of(feed, market)
    times, opens, highs, lows, closes = rows.T[:5]
    assert np.isfinite(rows).all() and (rows > 0).all()
    assert (times % 60 == 0).all() and (np.diff(times) > 0).all() and times[0] >= NOW - DAY and times[-1] <= NOW
    assert (lows <= np.minimum(opens, closes)).all() and (np.maximum(opens, closes) <= highs).all()


def test_a_candle_opens_where_the_one_before_closed():
    rows = feed.candles("kraken", "btcusd", NOW - 7 * DAY, NOW)
    assert np.allclose(rows[1:, 1], rows[:-1, 4], rtol=1e-5)
    assert 0.01 < np.log(rows[:, 4]).std() < 0.2


def test_some_markets_are_thin_and_the_others_trade_every_minute():
    counts = np.array([len(day_of(feed, market)) for market in feed.markets])
    assert 0 < (counts < 1_400).sum() < len(counts) / 2
    assert (counts >= 1_440).sum() > len(counts) / 2


def test_prices_have_realistic_magnitudes_and_move_together():
    prices = {market.name: dict(day_of(feed, market)[:, [0, 4]].tolist()) for market in feed.markets}
    last = [list(closes.values())[-1] for closes in prices.values()]
    assert min(last) < 1e-4 and max(last) > 1e4
    one, other, elsewhere = (prices[name] for name in ("kraken:btcusd", "kraken:ethusd", "coinbase:btcusd"))
    both = np.log([[one[time], other[time]] for time in sorted(one.keys() & other.keys())])
    assert np.corrcoef(np.diff(both, axis=0).T)[0, 1] > 0.3
    assert all(price == pytest.approx(elsewhere.get(time, price), rel=0.01) for time, price in one.items())


def test_volume_exceeds_three_times_its_hour_now_and_then():
    volumes = [day[:, 5] for day in (day_of(feed, market) for market in feed.markets) if len(day) > 1_400]
    means = [np.convolve(day, np.ones(60) / 60, "valid")[:-1] for day in volumes]
    spikes = [(day[60:] > 3 * mean).sum() for day, mean in zip(volumes, means, strict=True)]
    assert 2 < np.mean(spikes) < 60


def test_there_is_nothing_before_1970_and_no_market_that_is_not_listed():
    assert not len(feed.candles("kraken", "btcusd", -1_000_000, -60))
    with pytest.raises(KeyError):
        feed.candles("kraken", "nosuch", 0, 60)


@pytest.mark.parametrize("markets, exchanges", [(0, 3), (60, 0)])
def test_a_feed_needs_markets_and_exchanges(markets, exchanges):
    with pytest.raises(ValueError, match="at least one"):
        Generated(1, markets, exchanges)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv.gz")), ids=lambda path: path.name)
def test_a_replay_gives_each_file_bit_for_bit_moved_in_time(path):
    replay = Replay(FOLDER, start=NOW + 33.3)
    with gzip.open(path, "rt") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]

    given = replay.candles("replay", path.name.removesuffix(".csv.gz"), 0, 2**40)

    assert [[row[0] - replay.shift, *row[1:]] for row in given.tolist()] == rows


def test_the_candle_folder_is_there():
    assert len(list(FOLDER.glob("*.csv.gz"))) == 10


def test_by_default_the_last_candle_opens_at_the_start():
    replay = Replay(FOLDER, start=NOW + 59)
    last = max(replay.candles(market.exchange, market.pair, 0, 2**40)[-1, 0] for market in replay.markets)
    assert (last, replay.end) == (NOW, NOW + 60)


def test_the_chosen_candle_opens_at_the_start(tmp_path):
    write(tmp_path, "coinbase-pro-ethbtc.csv.gz", HEADER, GOOD, "660,3,3,3,3,1", "780,3,3,3,3,1")

    replay = Replay(tmp_path, start=NOW, at=700)

    assert [(m.exchange, m.pair, m.base, m.quote) for m in replay.markets] == [("coinbase-pro", "ethbtc", "eth", "btc")]
    assert replay.candles("coinbase-pro", "ethbtc", 0, 2**40)[:, 0].tolist() == [NOW - 60, NOW, NOW + 120]
    assert replay.candles("coinbase-pro", "ethbtc", NOW - 59, NOW).tolist() == [[NOW, 3, 3, 3, 3, 1]]


@pytest.mark.parametrize("at", [0, 599, 660, 2**40])
def test_an_instant_outside_of_the_files_is_refused_with_their_range(tmp_path, at):
    write(tmp_path, "ethbtc.csv.gz", HEADER, GOOD)
    with pytest.raises(ValueError, match=r"600 \(1970-01-01 00:10 UTC\) to 600 "):
        Replay(tmp_path, start=NOW, at=at)


@pytest.mark.parametrize(
    "lines, line",
    [
        (["time,price"], 1),
        ([HEADER], 2),
        ([HEADER, GOOD, "660,2,4,1"], 3),
        ([HEADER, GOOD, "660,2,4,1,x,1"], 3),
        ([HEADER, GOOD, "", "720,2,4,1,3,1"], 3),
        ([HEADER, GOOD, "661,2,4,1,3,1"], 3),
        ([HEADER, GOOD, GOOD], 3),
        ([HEADER, "600,2,1,4,3,1"], 2),
        ([HEADER, "600,2,4,0,3,1"], 2),
        ([HEADER, "600,2,4,1,3,-1"], 2),
        ([HEADER, "600,2,4,1,3,nan"], 2),
        ([HEADER, "600,2,inf,1,3,1"], 2),
        ([HEADER, "600,2,1e300,1,3,1"], 2),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_line(tmp_path, lines, line):
    write(tmp_path, "ethbtc.csv.gz", *lines)
    with pytest.raises(ValueError, match=rf"ethbtc\.csv\.gz: line {line}: "):
        Replay(tmp_path, start=NOW)


def test_a_file_that_is_not_gzipped_or_not_named_after_a_market_is_refused(tmp_path):
    (tmp_path / "ethbtc.csv.gz").write_text(HEADER)
    with pytest.raises(ValueError, match=r"ethbtc\.csv\.gz: line 1: not gzipped text"):
        Replay(tmp_path, start=NOW)
    (tmp_path / "ethbtc.csv.gz").rename(tmp_path / "eth btc.csv.gz")
    with pytest.raises(ValueError, match=r"eth btc\.csv\.gz: expected a name"):
        Replay(tmp_path, start=NOW)


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_candle_files_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="no candle files"):
        Replay(tmp_path / folder, start=NOW)


@pytest.mark.parametrize(
    "pair, base, quote",
    [("btcusd", "btc", "usd"), ("btcusdt", "btc", "usdt"), ("linketh", "link", "eth"), ("fooxyz", "foo", "xyz")],
)
def test_a_pair_is_split_at_the_quote_it_ends_with(pair, base, quote):
    assert split_pair(pair) == (base, quote)
