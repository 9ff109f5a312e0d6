"""Cryptowatch's REST API. The service closed in 2023; the format lives on in compatible servers and in our simulator.

Format: https://docs.cryptowat.ch/rest-api as archived. Beware: a candle's time is its closing time, the last candle is
unfinished and closes in the future, and an answer has at most 1,000 candles. A spent allowance shows in an answer with
status 200, see ``_is_spent``.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tracker.clock import Clock
from tracker.errors import MustWait, SourceError
from tracker.models import Candles, Catalogue, Market, Ticker
from tracker.series.candles import accept, fault
from tracker.settings import Settings
from tracker.sources import Pay, free
from tracker.sources.http import KEY, get_json, session

#: Most candles of an answer.
PAGE = 1_000
#: Seconds to pause once the allowance is spent. It is renewed every hour or every day.
SPENT = 600
#: Most pages of a catalogue. The largest real one had one page.
PAGES = 50


def open_source(name: str, settings: Settings, pay: Pay) -> "Cryptowatch":
    return Cryptowatch(settings.cryptowatch_url, settings.cryptowatch_key, settings.ring.step, settings.clock, pay)


class Cryptowatch:
    """A server at ``url`` that speaks this format, in slots of ``step`` seconds. See Source."""

    def __init__(self, url: str, key: str, step: int, clock: Clock, pay: Pay = free):
        self.url = url
        self.step = step
        self.clock = clock
        self.session = session({KEY: key} if key else {}, pay)
        self._spent = False

    @property
    def skew(self) -> float | None:
        return self.session.skew

    def markets(self) -> Catalogue:
        """The active markets. Leaves out invalid entries, and markets whose pair is not in the list of pairs."""
        pairs = {}
        for pair in self._pages("/pairs"):
            pairs[_text(pair, "symbol")] = (_text(pair, "base", "symbol"), _text(pair, "quote", "symbol"))
        found = Catalogue()
        for entry in self._pages("/markets"):
            name = _text(entry, "pair")
            if entry.get("active") is True and all(pairs.get(name, ("",))):
                found.take(f"{_text(entry, 'exchange')}:{name}", *pairs[name])
        return found

    def candles(self, market: Market, since: int) -> Candles:
        """See Source. If the budget runs out after some pages, these pages are the answer."""
        exchange, _, pair = market.id.partition(":")
        url = f"{self.url}/markets/{quote(exchange, '')}/{quote(pair, '')}/ohlc"
        rows: list[tuple[Any, ...]] = []
        start = since
        while True:
            # Asks for one more candle on each side, because the documents do not say whether bounds are inclusive.
            end = start + (PAGE - 2) * self.step
            bounds = {"after": start, "periods": self.step}
            ended = end > self.clock.now()
            try:
                page = self._rows(url, bounds if ended else {**bounds, "before": end + self.step}, start)
            except MustWait:
                if start == since:
                    raise
                return accept(rows, since, self.step, self.clock.now(), until=start - self.step)
            rows += page if ended else [row for row in page if row[0] < end]
            if ended:
                return accept(rows, since, self.step, self.clock.now())
            start = end

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        summaries: dict[str, Any] = {}
        for page in self._answers("/markets/summaries"):
            if not isinstance(page, dict):
                raise SourceError("not_prices", f"{self.url}/markets/summaries did not answer with an object")
            summaries |= page
        found = {}
        for market in markets:
            summary = summaries.get(market.id)
            if not isinstance(summary, dict) or not isinstance(summary.get("price"), dict):
                continue
            price, traded = summary["price"].get("last"), summary.get("volume")
            if fault(price, 0 if traded is None else traded) is None:
                found[market.id] = Ticker(price, traded)
        return found

    def _rows(self, url: str, params: dict[str, int], start: int) -> list[tuple[Any, ...]]:
        """The (opening time, close, volume) rows of one answer from the slot ``start`` on."""
        result = _result(self._get(url, params), "not_candles")
        candles = result.get(str(self.step)) if isinstance(result, dict) else None
        if candles is None and isinstance(result, dict) and str(self.step) in result:
            return []  # null means no candle within these bounds
        if not isinstance(candles, list) or len(candles) > 10 * PAGE:
            raise SourceError("not_candles", f"{url} did not answer with a list of candles of {self.step} s")
        rows = []
        for candle in candles:
            if not isinstance(candle, list) or len(candle) < 6 or type(candle[0]) is not int:
                raise SourceError("not_candles", f"{url} answered {candle!r:.80} for a candle")
            if candle[0] - self.step >= start:
                rows.append((candle[0] - self.step, candle[4], candle[5]))
        return rows

    def _get(self, url: str, params: dict[str, Any]) -> Any:
        """Asks, unless the answer before said that the allowance is spent: then raises SourceError once."""
        if self._spent:
            self._spent = False
            raise SourceError("allowance_spent", f"the last answer of {self.url} left no allowance", wait=SPENT)
        answer = get_json(self.session, url, params)
        self._spent = _is_spent(answer)
        return answer

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        for entries in self._answers(path):
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise SourceError("not_markets", f"{self.url}{path} did not answer with a list of objects")
            yield from entries

    def _answers(self, path: str) -> Iterator[Any]:
        """Yields the result of each page."""
        params: dict[str, Any] = {}
        for _ in range(PAGES):
            answer = self._get(self.url + path, params)
            yield _result(answer, "not_markets")
            cursor = answer.get("cursor")
            if not isinstance(cursor, dict) or cursor.get("hasMore") is not True or not cursor.get("last"):
                return
            params = {"cursor": str(cursor["last"])[:1_000]}
        raise SourceError("too_long", f"{self.url}{path} has more than {PAGES} pages")


def _is_spent(answer: Any) -> bool:
    """Whether the allowance shown in an answer is too small for another request of the same cost."""
    allowance = answer.get("allowance") if isinstance(answer, dict) else None
    if not isinstance(allowance, dict) or allowance.get("remainingPaid"):
        return False
    cost, remaining = allowance.get("cost"), allowance.get("remaining")
    return isinstance(cost, int | float) and isinstance(remaining, int | float) and remaining < cost


def _result(answer: Any, reason: str) -> Any:
    if not isinstance(answer, dict) or "result" not in answer:
        raise SourceError(reason, f"the answer has no result: {answer!r:.80}")
    return answer["result"]


def _text(entry: dict[str, Any], *path: str) -> str:
    """The string at ``path`` in lower case; empty if there is none, which is not a valid name."""
    value: Any = entry
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value.lower() if isinstance(value, str) else ""
