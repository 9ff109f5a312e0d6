"""The servers of all exchanges, and the source for each."""

from tests.support.exchanges import ExchangeServer
from tests.support.exchanges.binance import Binance
from tests.support.exchanges.bitstamp import Bitstamp
from tests.support.exchanges.coinbase import Coinbase
from tests.support.exchanges.cryptowatch import CryptowatchServer
from tests.support.exchanges.kraken import Kraken
from tests.support.exchanges.okx import Okx
from tracker.settings import load
from tracker.sources import Source, open_source

PAIRS = {("ETH", "BTC"): "ethbtc", ("POWR", "BTC"): "powrbtc"}
SERVERS = [Kraken, Binance, Coinbase, Bitstamp, Okx, CryptowatchServer]


def opened(exchange: ExchangeServer) -> Source:
    where = {"CRYPTOWATCH_URL": exchange.url, "EXCHANGE_URL": exchange.url}
    return open_source(exchange.name, load({"SOURCES": exchange.name, **where}))
