"""The Cryptowatch REST API over a feed, as a WSGI application.

Format: https://docs.cryptowat.ch/rest-api, and recorded answers of the live service from 2022 and 2023. Differences:
every answer has at most ``views.MOST_CANDLES`` candles for each period and ``views.REACH`` of history, whatever its
bounds; all callers without a key share one budget; callers with a key pay nothing.
"""

import gzip
import logging
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from werkzeug import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, Unauthorized
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing import Map, Rule

from tracker.clock import Clock
from tracker.simulator import book, views
from tracker.simulator.allowance import Credits, paid
from tracker.simulator.catalogue import Catalogue, Listing, asset_object, exchange_object, market_object, pair_object
from tracker.simulator.feeds import Feed
from tracker.simulator.paging import page

logger = logging.getLogger(__name__)

#: Path, method of Api that answers it, cost in thousandths of a credit.
ROUTES = (
    ("/", "index", 0),
    ("/assets", "assets", 2),
    ("/assets/<symbol>", "asset", 2),
    ("/pairs", "pairs", 3),
    ("/pairs/<symbol>", "pair", 2),
    ("/exchanges", "exchanges", 2),
    ("/exchanges/<symbol>", "exchange", 2),
    ("/markets", "markets", 3),
    ("/markets/prices", "prices", 15),
    ("/markets/summaries", "summaries", 15),
    ("/markets/<exchange>", "exchange_markets", 2),
    ("/markets/<exchange>/<pair>", "market", 2),
    ("/markets/<exchange>/<pair>/price", "price", 5),
    ("/markets/<exchange>/<pair>/summary", "summary", 5),
    ("/markets/<exchange>/<pair>/trades", "trades", 10),
    ("/markets/<exchange>/<pair>/orderbook", "orderbook", 10),
    ("/markets/<exchange>/<pair>/orderbook/liquidity", "liquidity", 5),
    ("/markets/<exchange>/<pair>/orderbook/calculator", "calculator", 15),
    ("/markets/<exchange>/<pair>/ohlc", "ohlc", 15),
)
#: Cost of a request to an unknown path.
LOST = 2
COSTS = {name: cost for _, name, cost in ROUTES}
URLS = Map([Rule(path, endpoint=name, strict_slashes=False) for path, name, _ in ROUTES], merge_slashes=False)
URLS.update()

MOST_ASSETS = 5_000
MOST_PAIRS = 15_000
MOST_MARKETS = 20_000
MOST_TRADES = 1_000
#: Smallest limit of a page of prices. The real service did not apply small limits exactly.
FEWEST_PRICES = 20
INVALID = "Invalid input"
#: Answers of more bytes than this are compressed.
WORTH_GZIP = 1_000

WALL_CLOCK = Clock()

Body = dict[str, Any]


def create_app(feed: Feed, clock: Clock = WALL_CLOCK, budget: float | None = None, keys: Collection[str] = ()) -> "Api":
    """Makes the application. ``budget``: credits per 24 hours without a key, None: unlimited; ``keys``: accepted."""
    return Api(feed, clock, budget, keys)


@dataclass(frozen=True)
class Call:
    """A request: the instant that it asks about, and its parameters.

    The methods that read a parameter raise BadRequest if it has the wrong type.
    """

    now: float
    request: Request

    @property
    def root(self) -> str:
        """The URL at the start of each route in an answer."""
        return self.request.host_url.rstrip("/")

    @property
    def args(self) -> MultiDict[str, str]:
        return self.request.args

    def integer(self, name: str) -> int | None:
        """The parameter ``name``, limited to the range of times."""
        try:
            return max(-(2**53), min(int(self.args[name]), 2**53)) if self.args.get(name) else None
        except ValueError as error:
            raise BadRequest(INVALID) from error

    def positive(self, name: str) -> float | None:
        try:
            value = float(self.args[name]) if self.args.get(name) else None
        except ValueError as error:
            raise BadRequest(INVALID) from error
        if value is not None and not 0 < value < math.inf:
            raise BadRequest(INVALID)
        return value

    def limit(self, most: int, default: int | None = None) -> int:
        limit = self.integer("limit")
        if limit is not None and limit < 1:
            raise BadRequest(INVALID)
        return min(limit or default or most, most)

    def periods(self) -> list[str]:
        """The requested periods, by default all."""
        names = self.args["periods"].split(",") if self.args.get("periods") else list(views.PERIODS)
        if not set(names) <= set(views.PERIODS):
            raise BadRequest(INVALID)
        return names


class Api:
    """The WSGI application. Each endpoint has one method, which returns the answer's body without the allowance."""

    def __init__(self, feed: Feed, clock: Clock, budget: float | None, keys: Collection[str]) -> None:
        self.feed = feed
        self.clock = clock
        self.budget = Credits(budget)
        self.keys = frozenset(keys)
        self.catalogue = Catalogue(feed.markets)
        self.started = clock.now()
        self.urls = URLS.bind("simulator")

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            body, status = self._answer(request)
        except Exception:
            logger.exception("no answer to %s", request.full_path)
            body, status = {"error": "Internal server error"}, 500
        content, headers = _encode(body, request)
        if status == MethodNotAllowed.code:
            headers.append(("Allow", "GET"))
        start_response(f"{status} {HTTP_STATUS_CODES[status]}", headers)
        return [content]

    def index(self, call: Call) -> Body:
        uptime = f"{call.now - self.started:.0f}s"
        documentation = "https://docs.cryptowat.ch/rest-api/"
        indexes = [f"{call.root}/{name}" for name in ("assets", "pairs", "exchanges", "markets")]
        return _result({"revision": "simulator", "uptime": uptime, "documentation": documentation, "indexes": indexes})

    def assets(self, call: Call) -> Body:
        symbols, cursor = _page(call, "assets", self.catalogue.assets, call.limit(MOST_ASSETS))
        return _result([asset_object(symbol, call.root) for symbol in symbols], cursor)

    def asset(self, call: Call, symbol: str) -> Body:
        sides = _find(self.catalogue.by_asset, symbol, "Asset not found")
        markets = {side: [market_object(market, call.root) for market in sides[side]] for side in sides}
        return _result(_without_route(asset_object(symbol, call.root)) | {"markets": markets})

    def pairs(self, call: Call) -> Body:
        pairs, cursor = _page(call, "pairs", self.catalogue.pairs, call.limit(MOST_PAIRS))
        return _result([pair_object(self.catalogue.by_pair[pair][0], call.root) for pair in pairs], cursor)

    def pair(self, call: Call, symbol: str) -> Body:
        markets = _find(self.catalogue.by_pair, symbol, "Instrument not found")
        rows = [market_object(market, call.root) for market in markets]
        return _result(pair_object(markets[0], call.root) | {"markets": rows})

    def exchanges(self, call: Call) -> Body:
        return _result([exchange_object(symbol, call.root) for symbol in self.catalogue.by_exchange])

    def exchange(self, call: Call, symbol: str) -> Body:
        _find(self.catalogue.by_exchange, symbol, "Exchange not found")
        routes = {"markets": f"{call.root}/markets/{symbol}"}
        return _result(_without_route(exchange_object(symbol, call.root)) | {"routes": routes})

    def markets(self, call: Call) -> Body:
        markets, cursor = _page(call, "markets", self.catalogue.markets, call.limit(MOST_MARKETS))
        return _result([market_object(market, call.root) for market in markets], cursor)

    def exchange_markets(self, call: Call, exchange: str) -> Body:
        markets = _find(self.catalogue.by_exchange, exchange, "Exchange not found")
        return _result([market_object(market, call.root) for market in markets.values()])

    def prices(self, call: Call) -> Body:
        """Prices of markets, and one index on the last page: the live list had some, and clients must cope."""
        limit = max(call.limit(MOST_MARKETS), FEWEST_PRICES)
        markets, cursor = _page(call, "prices", self.catalogue.markets, limit)
        prices = {f"market:{market.name}": views.price(self.feed, market, call.now) for market in markets}
        if not cursor["hasMore"]:
            first = self.catalogue.first
            prices[f"index:kraken-futures:cf-in-{first.pair}"] = views.price(self.feed, first, call.now)
        return _result({name: price for name, price in prices.items() if price}, cursor)

    def summaries(self, call: Call) -> Body:
        key = call.args.get("keyBy") or "symbols"
        if key not in ("id", "symbols"):
            raise BadRequest("Unkown sort parameter")
        markets, cursor = _page(call, "summaries", self.catalogue.markets, call.limit(MOST_MARKETS))
        names = [str(market.id) if key == "id" else market.name for market in markets]
        summaries = (views.bulk_summary(self.feed, market, call.now) for market in markets)
        return _result(dict(zip(names, summaries, strict=True)), cursor)

    def market(self, call: Call, exchange: str, pair: str) -> Body:
        market = market_object(self._market(exchange, pair), call.root)
        routes = {name: f"{market['route']}/{name}" for name in ("price", "summary", "orderbook", "trades", "ohlc")}
        return _result(_without_route(market) | {"routes": routes})

    def price(self, call: Call, exchange: str, pair: str) -> Body:
        return _result({"price": views.price(self.feed, self._market(exchange, pair), call.now)})

    def summary(self, call: Call, exchange: str, pair: str) -> Body:
        return _result(views.summary(self.feed, self._market(exchange, pair), call.now))

    def trades(self, call: Call, exchange: str, pair: str) -> Body:
        market, limit = self._market(exchange, pair), call.limit(MOST_TRADES, default=50)
        return _result(views.recent_trades(self.feed, market, call.now, call.integer("since"), limit))

    def orderbook(self, call: Call, exchange: str, pair: str) -> Body:
        whole = views.order_book(self.feed, self._market(exchange, pair), call.now)
        cut = whole.cut(call.limit(book.LEVELS), call.positive("depth"), call.positive("span"))
        return _result({"asks": cut.asks.tolist(), "bids": cut.bids.tolist(), "seqNum": int(call.now)})

    def liquidity(self, call: Call, exchange: str, pair: str) -> Body:
        return _result(book.liquidity(views.order_book(self.feed, self._market(exchange, pair), call.now)))

    def calculator(self, call: Call, exchange: str, pair: str) -> Body:
        whole = views.order_book(self.feed, self._market(exchange, pair), call.now)
        amount = call.positive("amount")
        if amount is None or amount > whole.fill:
            raise BadRequest(INVALID)
        buy, sell = book.quote(whole.asks, amount, "spend"), book.quote(whole.bids, amount, "receive")
        return _result({"buy": buy, "sell": sell})

    def ohlc(self, call: Call, exchange: str, pair: str) -> Body:
        market, after, before = self._market(exchange, pair), call.integer("after"), call.integer("before")
        periods = {name: views.ohlc(self.feed, market, name, call.now, after, before) for name in call.periods()}
        return _result(periods)

    def _answer(self, request: Request) -> tuple[Body, int]:
        """Body and status. A request that fails costs as much as one that succeeds."""
        allowance = self.budget.show()
        try:
            if request.method != "GET":
                raise MethodNotAllowed(["GET"], "Method not allowed")
            key = self._key(request)
            endpoint, names = self._route(request.path.lower())
            call = Call(self.clock.now(), request)
            allowance = paid(key) if key else self.budget.spend(COSTS.get(endpoint, LOST), call.now)
            if not endpoint:
                raise NotFound("Route not found")
            return getattr(self, endpoint)(call, **names) | {"allowance": allowance}, 200
        except HTTPException as error:
            return {"error": error.description, "allowance": allowance}, error.code or 500

    def _key(self, request: Request) -> str | None:
        key = request.headers.get("X-CW-API-Key") or request.args.get("apikey")
        if key and key not in self.keys:
            raise Unauthorized("Invalid API key")
        return key

    def _route(self, path: str) -> tuple[str, dict[str, Any]]:
        try:
            endpoint, arguments = self.urls.match(path)
            return endpoint, dict(arguments)
        except HTTPException:
            return "", {}

    def _market(self, exchange: str, pair: str) -> Listing:
        pairs = _find(self.catalogue.by_exchange, exchange, "Exchange not found")
        market: Listing = _find(pairs, pair, "Instrument not found")
        return market


def _encode(body: Body, request: Request) -> tuple[bytes, list[tuple[str, str]]]:
    """The body as bytes, and the headers that describe it."""
    content = orjson.dumps(body)
    headers = [("Content-Type", "application/json"), ("Vary", "Accept-Encoding")]
    if len(content) > WORTH_GZIP and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = gzip.compress(content, compresslevel=1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    return content, [*headers, ("Content-Length", str(len(content)))]


def _result(result: Any, cursor: Body | None = None) -> Body:
    return {"result": result} | ({"cursor": cursor} if cursor else {})


def _page(call: Call, kind: str, items: Any, limit: int) -> tuple[list[Any], Body]:
    try:
        return page(kind, items, limit, call.args.get("cursor"))
    except ValueError as error:
        raise BadRequest(INVALID) from error


def _find(known: dict[str, Any], name: str, missing: str) -> Any:
    if name not in known:
        raise NotFound(missing)
    return known[name]


def _without_route(listed: Body) -> Body:
    return {name: value for name, value in listed.items() if name != "route"}
