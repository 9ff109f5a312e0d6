"""The simulated assets, pairs, exchanges and markets: their names, ids and Cryptowatch objects."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import blake2b
from itertools import count
from typing import Any, NamedTuple

#: Symbol -> name, and price in US dollars around summer 2023.
ASSETS = {
    "btc": ("Bitcoin", 29_400.0),
    "eth": ("Ethereum", 1_860.0),
    "xrp": ("XRP", 0.71),
    "ada": ("Cardano", 0.31),
    "ltc": ("Litecoin", 90.2),
    "sol": ("Solana", 24.9),
    "doge": ("Dogecoin", 0.078),
    "dot": ("Polkadot", 5.2),
    "link": ("Chainlink", 7.6),
    "xlm": ("Stellar Lumens", 0.158),
    "xmr": ("Monero", 163.0),
    "etc": ("Ethereum Classic", 18.2),
    "dash": ("Dash", 31.4),
    "zec": ("Zcash", 30.1),
    "bch": ("Bitcoin Cash", 242.0),
    "usdt": ("Tether", 1.0),
    "usdc": ("USD Coin", 1.0),
    "bnb": ("Binance Coin", 241.0),
    "usd": ("US Dollar", 1.0),
    "eur": ("Euro", 1.1),
    "gbp": ("British Pound", 1.28),
    "jpy": ("Japanese Yen", 0.007),
}
FIAT = {"usd", "eur", "gbp", "jpy"}
STABLE = {"usdt", "usdc"}
#: Quote currencies of the generated pairs.
QUOTES = ("usd", "eur", "btc", "usdt")
EXCHANGES = (
    *("kraken", "coinbase", "bitfinex", "binance", "bitstamp", "okx", "bybit", "kucoin", "gateio", "gemini"),
    *("huobi", "mexc", "bitget", "poloniex", "bittrex", "zonda"),
)
#: Ids from recorded answers of Cryptowatch.
KNOWN_IDS = {
    "exchange": {"bitfinex": 1, "coinbase": 2, "bitstamp": 3, "kraken": 4, "binance": 27},
    "market": {"bitfinex:btcusd": 1, "coinbase:btcusd": 65, "kraken:btceur": 86, "kraken:btcusd": 87},
    "pair": {"btcusd": 9, "btcusdt": 231},
    "asset": {"btc": 60, "eth": 77, "usd": 98, "usdt": 2},
}


class Listing(NamedTuple):
    """A market: a pair on an exchange, all lower case."""

    exchange: str
    pair: str
    base: str
    quote: str

    @property
    def name(self) -> str:
        return f"{self.exchange}:{self.pair}"

    @property
    def id(self) -> int:
        return stable_id("market", self.name)


def stable_id(kind: str, name: str) -> int:
    """The recorded id if it is known, else an id that depends on kind and name only."""
    known = KNOWN_IDS[kind].get(name)
    return known or 1_000_000 + int.from_bytes(blake2b(f"{kind}/{name}".encode(), digest_size=6).digest())


def split_pair(pair: str) -> tuple[str, str]:
    """Base and quote of a pair such as ``ethbtc``. An unknown quote is taken to be the last three letters."""
    quotes = sorted(ASSETS, key=len, reverse=True)
    quote = next((quote for quote in quotes if pair.endswith(quote) and pair != quote), pair[-3:])
    return pair[: -len(quote)], quote


def invent(exchanges: int) -> Iterator[Listing]:
    """Yields endless markets: the known assets first, then invented coins, each on all exchanges."""
    names = [*EXCHANGES, *(f"exchange{number}" for number in range(len(EXCHANGES), exchanges))][:exchanges]
    for base in _bases():
        for quote in QUOTES:
            if quote != base:
                yield from (Listing(exchange, base + quote, base, quote) for exchange in names)


def _bases() -> Iterator[str]:
    known = [symbol for symbol in ASSETS if symbol not in FIAT | STABLE]
    yield from known
    yield from (coin for coin in map(_coin, count()) if coin not in known)


def _coin(number: int) -> str:
    """A pronounceable symbol: ``baba``, ``babe``, ..."""
    number, last = divmod(number, 100)
    rest = _coin(number - 100) if number >= 100 else _syllable(number)
    return rest + _syllable(last)


def _syllable(number: int) -> str:
    return "bcdfghjklmnpqrstvwxz"[number // 5] + "aeiou"[number % 5]


class Catalogue:
    """All markets of a feed, sorted by id, and their exchanges, pairs and assets."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.markets = {listing.id: listing for listing in sorted(listings, key=lambda listing: listing.id)}

    @cached_property
    def by_exchange(self) -> dict[str, dict[str, Listing]]:
        """Exchange -> pair -> market."""
        exchanges: dict[str, dict[str, Listing]] = {}
        for listing in self.markets.values():
            exchanges.setdefault(listing.exchange, {})[listing.pair] = listing
        return exchanges

    @cached_property
    def by_pair(self) -> dict[str, list[Listing]]:
        pairs: dict[str, list[Listing]] = {}
        for listing in self.markets.values():
            pairs.setdefault(listing.pair, []).append(listing)
        return pairs

    @cached_property
    def by_asset(self) -> dict[str, dict[str, list[Listing]]]:
        """Asset -> ``base`` or ``quote`` -> the markets in which the asset is on that side."""
        assets: dict[str, dict[str, list[Listing]]] = {}
        for listing in self.markets.values():
            for side in ("base", "quote"):
                assets.setdefault(getattr(listing, side), {}).setdefault(side, []).append(listing)
        return assets

    @cached_property
    def pairs(self) -> dict[int, str]:
        """Id -> pair, ordered by id."""
        return dict(sorted((stable_id("pair", pair), pair) for pair in self.by_pair))

    @cached_property
    def assets(self) -> dict[int, str]:
        """Id -> asset, ordered by id."""
        return dict(sorted((stable_id("asset", asset), asset) for asset in self.by_asset))

    @property
    def first(self) -> Listing:
        return next(iter(self.markets.values()))


def market_object(listing: Listing, root: str) -> dict[str, Any]:
    """A market in Cryptowatch's format. ``root``, here and below, is the URL at the start of each route."""
    exchange, pair = listing.exchange, listing.pair
    return {
        "id": listing.id,
        "exchange": exchange,
        "pair": pair,
        "active": True,
        "route": f"{root}/markets/{exchange}/{pair}",
    }


def asset_object(symbol: str, root: str) -> dict[str, Any]:
    name, _ = ASSETS.get(symbol, (symbol.title(), None))
    return {
        "id": stable_id("asset", symbol),
        "sid": name.lower().replace(" ", "-"),
        "symbol": symbol,
        "name": name,
        "fiat": symbol in FIAT,
        "route": f"{root}/assets/{symbol}",
    }


def pair_object(listing: Listing, root: str) -> dict[str, Any]:
    """A pair in Cryptowatch's format. ``listing`` is any market of the pair."""
    return {
        "id": stable_id("pair", listing.pair),
        "symbol": listing.pair,
        "base": asset_object(listing.base, root),
        "quote": asset_object(listing.quote, root),
        "route": f"{root}/pairs/{listing.pair}",
    }


def exchange_object(symbol: str, root: str) -> dict[str, Any]:
    return {
        "id": stable_id("exchange", symbol),
        "symbol": symbol,
        "name": symbol.title(),
        "route": f"{root}/exchanges/{symbol}",
        "active": True,
    }
