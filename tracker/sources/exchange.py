"""Any exchange that ccxt knows and that has candles of spot markets. Its name in SOURCES is ccxt's name.

ccxt translates the exchange's format, nothing else. The rest is replaced:

- ccxt's throttle knows one process only. Our budget, shared by all workers, stands before every request.
- ccxt's HTTP has no limits. It gets our session.
- ccxt loads the catalogue in every process. We store the exchange's own name with each market instead.
- ``import ccxt`` loads a hundred exchanges. We load one exchange's module.

Where to look up an exchange's odd error, in the order in which they apply:

1. By HTTP status: READ_BY_CCXT lists the statuses whose body ccxt reads; ``http.refusal`` judges all others.
2. By ccxt's exception: KINDS maps it to our reason.
3. By text, if ccxt has only a general exception for it: WORDS.

``tests/support/exchanges/`` has the refusals of each exchange as recorded. Cryptowatch's are in ``cryptowatch.py``.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.models import Candles, Catalogue, Market, Ticker
from tracker.series.candles import accept, fault
from tracker.settings import Settings
from tracker.sources import Pay, free
from tracker.sources.http import parsed, refusal, session

#: Candles of an answer if ccxt does not know the exchange's limit, and the most that we ask for.
PAGE, LARGEST_PAGE = 100, 1_000
#: Seconds of a step -> ccxt's name for it.
SPANS = {60: "1m", 180: "3m", 300: "5m", 900: "15m", 1_800: "30m", 3_600: "1h"}
#: Statuses that ccxt handles, because the body says more than the status.
READ_BY_CCXT = (200, 400, 404, 422)
#: Exchange -> path with all prices and volumes, for exchanges where ccxt uses a path without volumes.
STATS = {"coinbaseexchange": "products/stats"}
#: Seconds to pause after a rate limit that is an error in a body, without Retry-After.
PAUSE = 15
#: Name of ccxt's exception -> our reason, and more for SourceError. The nearest base class that is listed counts.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RateLimitExceeded": ("rate_limited", {"wait": PAUSE}),
    "DDoSProtection": ("rate_limited", {"wait": PAUSE}),
    "RestrictedLocation": ("restricted", {"permanent": True}),
    "AuthenticationError": ("bad_key", {"permanent": True}),
    "NotSupported": ("unsupported", {"permanent": True}),
    "BadSymbol": ("unknown_market", {}),
    "ExchangeNotAvailable": ("unavailable", {}),
    "BaseError": ("refused", {}),
}
#: Text of an error that would only be ``refused`` -> our reason: Bitstamp's codes, Kraken's text, common phrases.
WORDS: dict[re.Pattern[str], tuple[str, dict[str, Any]]] = {
    re.compile(r"\b400\.0(02|67|68)\b|rate limit|too many requests", re.IGNORECASE): ("rate_limited", {"wait": PAUSE}),
    re.compile(r"unknown (asset|symbol|market)|invalid symbol", re.IGNORECASE): ("unknown_market", {}),
}
#: A number with a huge exponent. ccxt writes out all digits to compute with it, which would fill the memory.
ENORMOUS = re.compile(r"""[":,\[\s][+-]?[\d.]+[eE][+-]?0*\d{3,}["\s,\]}]""")
#: What ccxt's code raises if an answer does not have the expected shape.
FAULTS = (ArithmeticError, AttributeError, LookupError, NameError, RecursionError, TypeError, ValueError)


def exists(name: str) -> bool:
    """Whether ccxt has an exchange ``name`` with candles. Reads ccxt's file, imports nothing."""
    if not re.fullmatch(r"[a-z0-9]{1,64}", name):
        return False
    file = Path(str(_package().origin)).with_name(f"{name}.py")
    return file.is_file() and not re.search(r"'fetchOHLCV': (None|False)", file.read_text(encoding="utf-8"))


def open_source(name: str, settings: Settings, pay: Pay) -> "Exchange":
    return Exchange(name, settings.exchange_url.of(name), settings.ring.step, settings.clock, pay)


class Exchange:
    """ccxt's exchange ``name`` at ``url`` (empty: ccxt's own address), in slots of ``step`` seconds. See Source."""

    def __init__(self, name: str, url: str, step: int, clock: Clock, pay: Pay = free):
        self.name = name
        self.step = step
        self.clock = clock
        self.session = session({}, pay)
        self._heard = threading.local()
        self.ccxt = _class(name)({"enableRateLimit": False, "session": _Line(self.session), "markets": {}})
        self.ccxt.parse_json = self._parse
        self.ccxt.parse_ohlcvs = self._rows
        self.ccxt.parse_precision = _no_precision
        self.ccxt.has["fetchCurrencies"] = False
        self.ccxt.options["fetchMarkets"] = _spot_only(self.ccxt.options.get("fetchMarkets"))
        if url:
            self.ccxt.urls["api"] = _at(url, self.ccxt.urls["api"])
        self.span = SPANS[step] if SPANS[step] in (self.ccxt.timeframes or {}) else ""
        features = (self.ccxt.features or {}).get("spot") or {}
        self.page = min((features.get("fetchOHLCV") or {}).get("limit") or PAGE, LARGEST_PAGE)

    @property
    def skew(self) -> float | None:
        return self.session.skew

    def markets(self) -> Catalogue:
        """The active spot markets. Leaves out invalid entries, and all but the first market of two currencies."""
        if not self.span:
            raise SourceError("unsupported", f"{self.name} has no candles of {self.step} s: set STEP", permanent=True)
        with self._translated():
            listed = self.ccxt.fetch_markets()
            found = Catalogue()
            for entry in listed:
                if entry and entry["spot"] and entry["active"] is not False:
                    base, quote = (str(entry[side] or "").lower() for side in ("base", "quote"))
                    found.take(f"{self.name}:{base}{quote}", base, quote, entry["id"])
        if not found:
            raise SourceError("no_markets", f"{self.name} lists {len(listed)} markets, and no active spot market")
        return found

    def candles(self, market: Market, since: int) -> Candles:
        """See Source. If the budget runs out after some pages, these pages are the answer.

        Asks page by page. A page normally begins at ``start``, and an empty or short one means silence: go to the next.
        """
        rows: list[tuple[Any, ...]] = []
        covered = start = since
        while start <= (now := self.clock.now()):
            try:
                page = self._page(market, start)
            except MustWait:
                if start == since:
                    raise
                return accept(rows, covered, self.step, now, until=start - self.step)
            rows += page
            end = start + self.page * self.step
            if not page or page[-1][0] < end:
                start = end
                continue
            # The page reaches beyond ``end``: like Kraken, the exchange gives its newest candles whatever the start.
            # Nothing is known about the time before the first of them.
            if start == since:
                covered = page[0][0]
            if len(page) < self.page:
                break
            start = page[-1][0] + self.step
        return accept(rows, covered, self.step, self.clock.now())

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        with self._translated():
            answer = self._tickers()
            found = {}
            for market in markets:
                said: Any = answer.get(market.name) or answer.get(f"{market.base}/{market.quote}".upper()) or {}
                price, traded = said.get("last"), said.get("baseVolume")
                if fault(price, 0 if traded is None else traded) is None:
                    found[market.id] = Ticker(price, traded)
        if markets and not found:
            raise SourceError("no_prices", f"{self.name} gave no usable price of any of {len(markets)} markets")
        return found

    def _tickers(self) -> dict[str, dict[str, Any]]:
        """ccxt's tickers by ccxt's symbol, or (from STATS) by the exchange's own name of the market."""
        path = STATS.get(self.name)
        if not path:
            tickers: dict[str, dict[str, Any]] = self.ccxt.fetch_tickers()
            return tickers
        stats = {name: said.get("stats_24hour") or {} for name, said in self.ccxt.request(path).items()}
        number = self.ccxt.safe_number
        return {name: {"last": number(day, "last"), "baseVolume": number(day, "volume")} for name, day in stats.items()}

    def _page(self, market: Market, start: int) -> list[tuple[Any, ...]]:
        """The (slot, close, volume) rows of one answer from ``start`` on, oldest first."""
        if not market.name:
            raise SourceError("unknown_market", f"{market.id} is not in the catalogue of {self.name}")
        with self._translated():
            if self.ccxt.markets.get(market.id, {}).get("id") != market.name:
                self._introduce(market)
            rows = self.ccxt.fetch_ohlcv(market.id, self.span, start * 1000, self.page)
            return sorted((row for row in rows if row[0] >= start), key=itemgetter(0))

    def _introduce(self, market: Market) -> None:
        """Registers a market with ccxt under our id, so that ccxt can ask for candles without loading the catalogue."""
        base, quote = market.base.upper(), market.quote.upper()
        pair = {"id": market.name, "symbol": market.id, "base": base, "quote": quote, "baseId": base, "quoteId": quote}
        kind = {"type": "spot", "spot": True, "active": True, "info": {}}
        kind |= dict.fromkeys(("margin", "swap", "future", "option", "contract"), False)
        self.ccxt.markets[market.id] = self.ccxt.safe_market_structure(pair | kind)

    def _parse(self, body: str) -> Any:
        """Replaces ccxt's parse_json, which returns invalid JSON as text and accepts a number of any size."""
        if ENORMOUS.search(body):
            raise SourceError("implausible", f"{self.name} answered with a number of hundreds of digits")
        self._heard.answer = parsed(body, self.name)
        return self._heard.answer

    def _rows(self, candles: Any, market: Any = None, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        """Replaces ccxt's parse_ohlcvs, which drops candles without a time and treats a missing list as empty."""
        if not isinstance(candles, list) or not (candles or _says_nothing(self._heard.answer)):
            raise SourceError("not_candles", f"{self.name} did not answer with candles: {self._heard.answer!r:.200}")
        if len(candles) > 10 * LARGEST_PAGE:
            raise SourceError("too_long", f"{self.name} answered {len(candles)} candles")
        rows = []
        for candle in candles:
            time, _, _, _, close, volume = self.ccxt.parse_ohlcv(candle, market)
            if type(time) is not int or time % 1000:
                raise SourceError("bad_time", f"{self.name}: a candle opens at {time!r:.40} ms: {candle!r:.100}")
            rows.append((time // 1000, close, volume))
        return rows

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns what ccxt raises into a SourceError."""
        from ccxt.base.errors import BaseError  # importable once an exchange is loaded, see _class

        try:
            yield
        except BaseError as error:
            reason, more = _meaning(error)
            raise SourceError(reason, f"{self.name}: {error!s:.300}", **more) from error
        except FAULTS as error:
            raise SourceError("unusable", f"{self.name} gave an answer that cannot be read: {error!r:.200}") from error


def _meaning(error: Exception) -> tuple[str, dict[str, Any]]:
    """Our reason for ccxt's error, and more for SourceError: by its class, or by its text if the class is general."""
    kind = next(KINDS[each.__name__] for each in type(error).__mro__ if each.__name__ in KINDS)
    if kind != KINDS["BaseError"]:
        return kind
    return next((meaning for words, meaning in WORDS.items() if words.search(str(error))), kind)


class _Line:
    """The session that ccxt gets: ours, without ccxt's options, some of which would loosen its limits."""

    def __init__(self, line: requests.Session):
        self.line = line
        self.headers = line.headers
        self.cookies = line.cookies

    def request(self, method: str, url: str, data: Any, headers: dict[str, str], **_: Any) -> requests.Response:
        try:
            response = self.line.request(method, url, data=data, headers=headers)
        except (requests.RequestException, ValueError) as error:  # a malformed URL or header
            raise SourceError("unreachable", f"{url}: {error}") from error
        if response.status_code not in READ_BY_CCXT:
            raise refusal(response)
        return response

    def close(self) -> None:
        self.line.close()


def _class(name: str) -> Callable[[dict[str, Any]], Any]:
    """Loads ccxt's class of one exchange. An empty package ``ccxt`` replaces the real one, so nothing else loads."""
    if "ccxt" not in sys.modules:
        sys.modules["ccxt"] = module_from_spec(_package())
    made: Callable[[dict[str, Any]], Any] = getattr(import_module(f"ccxt.{name}"), name)
    return made


def _package() -> ModuleSpec:
    spec = find_spec("ccxt")
    assert spec, "ccxt is in requirements.txt"
    return spec


def _no_precision(decimals: Any) -> str:
    """Replaces ccxt's parse_precision, which loops once for each decimal place claimed. We do not use the result."""
    return "1"


def _spot_only(option: Any) -> Any:
    """ccxt's option fetchMarkets, reduced to spot markets: each other type costs a request, and we do not use it."""
    types = option.get("types") if isinstance(option, dict) else None
    if isinstance(types, list):
        return option | {"types": [kind for kind in types if kind == "spot"]}
    if isinstance(types, dict):
        return option | {"types": {kind: kind == "spot" for kind in types}}
    return {"expires": -1} if option is None else option


def _at(url: str, known: Any) -> Any:
    """Copies ccxt's nested addresses with ``url`` in place of scheme and host."""
    if isinstance(known, dict):
        return {name: _at(url, each) for name, each in known.items()}
    return url + urlsplit(known).path if isinstance(known, str) else known


def _says_nothing(answer: Any) -> bool:
    """Whether an answer holds an empty list besides its list of errors: the exchange says that there are no candles."""
    if isinstance(answer, dict):
        return any(_says_nothing(value) for key, value in answer.items() if key != "error")
    return isinstance(answer, list) and not answer
