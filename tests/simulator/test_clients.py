"""The clients that were published for Cryptowatch work with the simulated exchange. Only the address is changed."""

import sys

import pytest

from tests.support.clients import install, run_client, simulator

pytestmark = pytest.mark.slow  # starts processes of its own

KEY = "k" * 20
FIND_ERRORS = """
def error(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        return [type(error).__name__, str(error)]
"""


@pytest.fixture(scope="module")
def exchange():
    with simulator(markets=12, keys=[KEY]) as url:
        yield url


@pytest.fixture(scope="module")
def spent():
    """An exchange that answers every request without a key with 429."""
    with simulator(markets=3, budget=0, keys=[KEY]) as url:
        yield url


@pytest.fixture(scope="module")
def sdk():
    return install("cryptowatch-sdk==0.1.0")


@pytest.fixture(scope="module")
def pycwatch():
    return install("pycwatch==1.1.4")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pins a marshmallow that needs distutils")
class TestTheOfficialSdk:
    def test_reads_the_catalogue(self, sdk, exchange, tmp_path):
        code = """
import cryptowatch as cw
answer({
    "exchanges": [exchange.symbol for exchange in cw.exchanges.list().exchanges],
    "exchange": cw.exchanges.get("KRAKEN").exchange.routes,
    "assets": [asset.symbol for asset in cw.assets.list(limit=3).assets],
    "asset": len(cw.assets.get("BTC").asset.markets["base"]),
    "pairs": [pair.symbol for pair in cw.instruments.list(limit=2).instruments],
    "pair": cw.instruments.get("BTCUSD").instrument.base.name,
    "markets": len(cw.markets.list().markets),
    "first": [market.id for market in cw.markets.list(limit=3).markets],
    "kraken": len(cw.markets.list("kraken").markets),
})
"""
        assert run_client(sdk, code, exchange, tmp_path) == {
            "exchanges": ["bitfinex", "coinbase", "kraken"],
            "exchange": {"markets": f"{exchange}/markets/kraken"},
            "assets": ["usdt", "btc", "eth"],
            "asset": 9,
            "pairs": ["btcusd", "btcusdt"],
            "pair": "Bitcoin",
            "markets": 12,
            "first": [1, 65, 86],
            "kraken": 4,
        }

    def test_reads_a_market(self, sdk, exchange, tmp_path):
        code = """
import cryptowatch as cw
name, bounds = "KRAKEN:BTCUSD", {"ohlc_after": 1690000000, "ohlc_before": 1700010000}
candles = cw.markets.get(name, ohlc=True, periods=["1m", "4h", "1w_monday"])
summary = cw.markets.get(name).market
book = cw.markets.get(name, orderbook=True)
answer({
    "candles": [len(candles.of_1m), len(candles.of_4h), len(candles.of_1w_monday[0]), hasattr(candles, "of_3m")],
    "bounded": len(cw.markets.get(name, ohlc=True, periods=["1d"], **bounds).of_1d),
    "everything": len(cw.markets.get(name, ohlc=True, **bounds).of_3d),
    "summary": [summary.price.high >= summary.price.low, summary.volume_quote > summary.volume > 0],
    "book": [book.asks[0][0] > book.bids[0][0]],
    "trades": len(cw.markets.get(name, trades=True, limit=7).trades),
    "since": len(cw.markets.get(name, trades=True, trades_since=4000000000).trades),
    "liquidity": len(cw.markets.get(name, liquidity=True).liquidity.bid.base),
})
"""
        assert run_client(sdk, code, exchange, tmp_path) == {
            "candles": [1_000, 1_000, 7, False],
            "bounded": 116,
            "everything": 38,
            "summary": [True, True],
            "book": [True],
            "trades": 7,
            "since": 0,
            "liquidity": 10,
        }

    def test_raises_its_own_errors(self, sdk, exchange, tmp_path):
        code = (
            FIND_ERRORS
            + """
import cryptowatch as cw
not_found = [error(cw.markets.get, "nosuch:btcusd"), error(cw.markets.get, "kraken:nosuch", ohlc=True)]
cw.api_key = "x" * 20
answer([*not_found, error(cw.exchanges.list)])
"""
        )
        assert run_client(sdk, code, exchange, tmp_path) == [
            ["APIResourceNotFoundError", "Exchange not found"],
            ["APIResourceNotFoundError", "Instrument not found"],
            ["APIRequestError", "Invalid API key"],
        ]

    def test_is_refused_when_the_allowance_is_spent_but_not_with_a_key(self, sdk, spent, tmp_path):
        code = FIND_ERRORS + "import cryptowatch as cw\nanswer(error(cw.markets.get, 'kraken:btcusd'))"
        name, text = run_client(sdk, code, spent, tmp_path)
        assert name == "APIRateLimitError" and "exceeded your current API allowance" in text
        code = "import cryptowatch as cw\nanswer([cw.is_authenticated(), cw.exchanges.list()._allowance.account])"
        authenticated, account = run_client(sdk, code, spent, tmp_path, KEY)
        assert authenticated and len(account) == 36


class TestPycwatch:
    AIM = """
import sys
from pycwatch import CryptoWatchClient, endpoints
for name, value in vars(endpoints.Endpoint).items():
    if isinstance(value, str) and value.startswith("https://api.cryptowat.ch"):
        setattr(endpoints.Endpoint, name, value.replace("https://api.cryptowat.ch", sys.argv[1]))
"""

    def test_reads_everything(self, pycwatch, exchange, tmp_path):
        code = (
            self.AIM
            + """
client, market = CryptoWatchClient(), ("kraken", "btcusd")
book = client.get_market_order_book(*market, depth=1, span=1.0, limit=5).result
ohlcv = client.get_ohlcv(*market, periods=["1m", 300, "1w_monday"]).result
first = client.list_markets(limit=5)
answer({
    "info": len(client.get_info().result.indexes),
    "assets": len(client.list_assets().result), "asset": client.get_asset("btc").result.name,
    "pairs": len(client.list_pairs(limit=2).result), "pair": len(client.get_pair("btcusd").result.markets),
    "pages": [len(first.result), len(client.list_markets(cursor=first.cursor.last).result), first.cursor.has_more],
    "market": client.get_market(*market).result.id_,
    "price": client.get_market_price(*market).result.price > 0,
    "prices": len(client.get_all_market_prices(limit=1).result),
    "trades": len(client.get_market_trades(*market, since=1, limit=3).result),
    "summary": client.get_market_summary(*market).result.volume_quote > 0,
    "summaries": list(client.get_all_market_summaries(limit=2).result),
    "book": [len(book.asks) <= 5, book.asks[0].price > book.bids[0].price],
    "liquidity": list(client.get_market_order_book_liquidity(*market).result.bid.base)[:3],
    "quote": client.calculate_quote(*market, amount=0.1).result.buy.spend > 0,
    "ohlcv": {period: len(candles) for period, candles in ohlcv.items() if len(candles) >= 1000},
    "closes": ohlcv["60"][-2].close_time % 60,
    "exchanges": len(client.list_exchanges().result), "exchange": client.get_exchange("kraken").result.name,
    "listed": len(client.list_exchange_markets("kraken").result),
})
"""
        )
        assert run_client(pycwatch, code, exchange, tmp_path) == {
            "info": 4, "assets": 5, "asset": "Bitcoin", "pairs": 2, "pair": 3, "pages": [5, 7, True],
            "market": 87, "price": True, "prices": 13, "trades": 3, "summary": True,
            "summaries": ["bitfinex:btcusd", "coinbase:btcusd"], "book": [True, True], "liquidity": [25, 50, 75],
            "quote": True, "ohlcv": {"60": 1_000, "300": 1_000}, "closes": 0,
            "exchanges": 3, "exchange": "Kraken", "listed": 4,
        }  # fmt: skip

    def test_raises_its_own_errors(self, pycwatch, exchange, spent, tmp_path):
        code = self.AIM + FIND_ERRORS + "answer(error(CryptoWatchClient().get_market_price, 'kraken', 'nosuch'))"
        name, text = run_client(pycwatch, code, exchange, tmp_path)
        assert name == "ClientError" and text.startswith("404 Error")
        code = self.AIM + FIND_ERRORS + "answer(error(CryptoWatchClient().list_exchanges))"
        name, text = run_client(pycwatch, code, spent, tmp_path)
        assert name == "ClientError" and text.startswith("429 Error")

    def test_sends_its_key(self, pycwatch, spent, tmp_path):
        code = self.AIM + f"\nanswer(CryptoWatchClient({KEY!r}).list_exchanges().allowance.remaining_paid)"
        assert run_client(pycwatch, code, spent, tmp_path) == 9_999_999_999


def test_cryptowatch_client_reads_everything(exchange, tmp_path):
    code = """
import sys
from cryptowatch_client import Client
client, market = Client(origin=sys.argv[1]), {"exchange": "kraken", "pair": "btcusd"}
answers = [
    client.get_allowance(), client.get_assets(), client.get_assets(asset="btc"), client.get_pairs(),
    client.get_pairs(pair="btcusd"), client.get_exchanges(), client.get_exchanges(exchange="kraken"),
    client.get_markets(), client.get_markets(exchange="kraken"), client.get_markets(**market),
    client.get_markets_price(**market), client.get_markets_summary(**market),
    client.get_markets_trades(limit=3, **market), client.get_markets_orderbook(**market),
    client.get_markets_ohlc(periods="60", **market),
    client.get_markets_prices(), client.get_markets_summaries(),
]
answer([response.status_code for response in answers])
"""
    assert run_client(install("cryptowatch-client==0.1.4"), code, exchange, tmp_path) == [200] * 17
