"""Any exchange that ccxt knows and that has candles of spot markets. Its name in SOURCES is ccxt's.

ccxt knows the formats, and that is all it is used for. Its throttle is one object's, so our budget stands before every
request; its HTTP has no bound, so it is given our session; its catalogue is loaded by every process, so each market
carries the name the exchange gives it; and ``import ccxt`` loads a hundred exchanges, so one module is loaded alone.
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

#: Candles of an answer where ccxt does not say how many an exchange gives, and at most.
PAGE, LARGEST_PAGE = 100, 1_000
#: ccxt's names of steps.
SPANS = {60: "1m", 180: "3m", 300: "5m", 900: "15m", 1_800: "30m", 3_600: "1h"}
#: Statuses whose body says more than the status: ccxt reads it.
READ_BY_CCXT = (200, 400, 404, 422)
#: Where all prices and volumes are, if ccxt takes another path, which has no volumes.
STATS = {"coinbaseexchange": "products/stats"}
#: Seconds to stay away from an exchange that says, with status 200, that it was asked too much.
PAUSE = 15
#: Words that say what ccxt does not tell apart: Bitstamp's codes, Kraken's text, and what most others write.
WORDS = {
    re.compile(r"\b400\.0(02|67|68)\b|rate limit|too many requests", re.IGNORECASE): ("rate_limited", {"wait": PAUSE}),
    re.compile(r"unknown (asset|symbol|market)|invalid symbol", re.IGNORECASE): ("unknown_market", {}),
}
#: A number that fills the memory once it is written out, as ccxt does to add and multiply.
ENORMOUS = re.compile(r"""[":,\[\s][+-]?[\d.]+[eE][+-]?0*\d{3,}["\s,\]}]""")
#: What ccxt raises by itself where an answer is not shaped as it expects.
FAULTS = (ArithmeticError, AttributeError, LookupError, NameError, RecursionError, TypeError, ValueError)


def exists(name: str) -> bool:
    """Whether ccxt has an exchange of that name with candles; told from its files, without importing any."""
    if not re.fullmatch(r"[a-z0-9]{1,64}", name):
        return False
    file = Path(str(_package().origin)).with_name(f"{name}.py")
    return file.is_file() and not re.search(r"'fetchOHLCV': (None|False)", file.read_text(encoding="utf-8"))


def open_source(name: str, settings: Settings, pay: Pay) -> "Exchange":
    return Exchange(name, settings.exchange_url.of(name), settings.ring.step, settings.clock, pay)


class Exchange:
    """ccxt's exchange ``name``, at ``url`` or where ccxt knows it, sampled in slots of ``step`` seconds. See Source."""

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
        """The active spot markets, without those that make no market, and a second one of the same currencies."""
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
        """See Source. Where a page is all that the budget pays for now, the pages before it are the answer."""
        rows: list[tuple] = []
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
            # The newest candles whatever was asked for, as Kraken gives them: what lies before them is not known.
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

    def _tickers(self) -> dict[str, dict]:
        """ccxt's tickers by symbol, or by the exchange's own name."""
        path = STATS.get(self.name)
        if not path:
            return self.ccxt.fetch_tickers()
        stats = {name: said.get("stats_24hour") or {} for name, said in self.ccxt.request(path).items()}
        number = self.ccxt.safe_number
        return {name: {"last": number(day, "last"), "baseVolume": number(day, "volume")} for name, day in stats.items()}

    def _page(self, market: Market, start: int) -> list[tuple]:
        """One answer's (slot, close, volume) from ``start`` on, oldest first."""
        if not market.name:
            raise SourceError("unknown_market", f"{market.id} is not in the catalogue of {self.name}")
        with self._translated():
            if self.ccxt.markets.get(market.id, {}).get("id") != market.name:
                self._introduce(market)
            rows = self.ccxt.fetch_ohlcv(market.id, self.span, start * 1000, self.page)
            return sorted((row for row in rows if row[0] >= start), key=itemgetter(0))

    def _introduce(self, market: Market) -> None:
        """Tells ccxt of a market under our id, with what it needs to ask for candles: no catalogue is loaded."""
        base, quote = market.base.upper(), market.quote.upper()
        pair = {"id": market.name, "symbol": market.id, "base": base, "quote": quote, "baseId": base, "quoteId": quote}
        kind = {"type": "spot", "spot": True, "active": True, "info": {}}
        kind |= dict.fromkeys(("margin", "swap", "future", "option", "contract"), False)
        self.ccxt.markets[market.id] = self.ccxt.safe_market_structure(pair | kind)

    def _parse(self, body: str) -> Any:
        """In the place of ccxt's own, which passes what is no JSON on as text, and computes with any number in it."""
        if ENORMOUS.search(body):
            raise SourceError("implausible", f"{self.name} answered a number of hundreds of digits")
        self._heard.answer = parsed(body, self.name)
        return self._heard.answer

    def _rows(self, candles: Any, market: Any = None, *_: Any, **__: Any) -> list[tuple]:
        """In the place of ccxt's own, which drops candles without a time, and takes a missing list for an empty one."""
        if not isinstance(candles, list) or not (candles or _says_nothing(self._heard.answer)):
            raise SourceError("not_candles", f"{self.name} answered no candles: {self._heard.answer!r:.200}")
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
        """What ccxt raises becomes ours."""
        from ccxt.base import errors  # its package is there once an exchange is

        kinds: list[tuple[type[Exception], str, dict[str, Any]]] = [
            (errors.RateLimitExceeded, "rate_limited", {"wait": PAUSE}),
            (errors.DDoSProtection, "rate_limited", {"wait": PAUSE}),
            (errors.RestrictedLocation, "restricted", {"permanent": True}),
            (errors.AuthenticationError, "bad_key", {"permanent": True}),
            (errors.NotSupported, "unsupported", {"permanent": True}),
            (errors.BadSymbol, "unknown_market", {}),
            (errors.ExchangeNotAvailable, "unavailable", {}),
            (errors.BaseError, "refused", {}),
        ]
        try:
            yield
        except errors.BaseError as error:
            reason, more = next((reason, more) for kind, reason, more in kinds if isinstance(error, kind))
            if reason == "refused":
                reason, more = next((WORDS[word] for word in WORDS if word.search(str(error))), (reason, more))
            raise SourceError(reason, f"{self.name}: {error!s:.300}", **more) from error
        except FAULTS as error:
            raise SourceError("unusable", f"{self.name} answered what cannot be read: {error!r:.200}") from error


class _Line:
    """What ccxt takes for its session: ours, without the options that would loosen it."""

    def __init__(self, line: requests.Session):
        self.line = line
        self.headers = line.headers
        self.cookies = line.cookies

    def request(self, method: str, url: str, data: Any, headers: dict, **_: Any) -> requests.Response:
        try:
            response = self.line.request(method, url, data=data, headers=headers)
        except (requests.RequestException, ValueError) as error:  # no URL, or a header field that is none
            raise SourceError("unreachable", f"{url}: {error}") from error
        if response.status_code not in READ_BY_CCXT:
            raise refusal(response)
        return response

    def close(self) -> None:
        self.line.close()


def _class(name: str) -> Callable[[dict], Any]:
    """ccxt's class of that exchange, under a package ``ccxt`` that was made but has imported nothing."""
    if "ccxt" not in sys.modules:
        sys.modules["ccxt"] = module_from_spec(_package())
    return getattr(import_module(f"ccxt.{name}"), name)


def _package() -> ModuleSpec:
    spec = find_spec("ccxt")
    assert spec, "ccxt is in requirements.txt"
    return spec


def _no_precision(decimals: Any) -> str:
    """In the place of ccxt's own, which takes a step for every decimal that is claimed. Nobody here asks for it."""
    return "1"


def _spot_only(option: Any) -> Any:
    """ccxt's option of what a catalogue is made of, without futures and options, a request each, and kept by nobody."""
    types = option.get("types") if isinstance(option, dict) else None
    if isinstance(types, list):
        return option | {"types": [kind for kind in types if kind == "spot"]}
    if isinstance(types, dict):
        return option | {"types": {kind: kind == "spot" for kind in types}}
    return {"expires": -1} if option is None else option


def _at(url: str, known: Any) -> Any:
    """ccxt's addresses, however nested, with ``url`` in the place of scheme and host."""
    if isinstance(known, dict):
        return {name: _at(url, each) for name, each in known.items()}
    return url + urlsplit(known).path if isinstance(known, str) else known


def _says_nothing(answer: Any) -> bool:
    """Whether an answer has an empty list that is not its list of errors: there is nothing, and that is the answer."""
    if isinstance(answer, dict):
        return any(_says_nothing(value) for key, value in answer.items() if key != "error")
    return answer == []
