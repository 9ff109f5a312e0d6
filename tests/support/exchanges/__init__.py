"""Servers that speak the recorded format of each exchange over real HTTP, with real candles moved to the present.

Each exchange has one file. Its answers and refusals are those of recorded payloads.
"""

import json
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.support.candle_files import candles
from tests.support.http_server import HttpServer

STEP = 60
#: Opening time of the file minute that is the current one: all pairs have traded for days before it.
FILE_NOW = 1_516_700_040
Answer = tuple[int, dict[str, str], Any]
Trades = dict[int, tuple[float, float]]


def moved(pair: str, ahead: int = 60 * STEP) -> Trades:
    """The real candles of ``pair``, moved so that FILE_NOW is the current minute. The next hour follows in time."""
    shift = int(time.time() // STEP * STEP) - FILE_NOW
    last = FILE_NOW + ahead
    return {slot + shift: said for slot, said in candles(pair).items() if last - 4 * 86_400 < slot <= last}


class ExchangeServer(HttpServer):
    """One exchange. ``trades``: (base, quote) in upper case -> its candles.

    refuses: an answer instead of every other, e.g. ``too_many``. limit: (amount, seconds), above which it refuses
    with ``too_many``. arrivals: (time, cost) of every request. ahead: seconds that its candles are ahead of time.
    """

    name: str
    #: How many of the newest candles it gives, None for all.
    reach: int | None = None
    #: Last part of a path -> cost of a request, 1 if it is not here.
    costs: ClassVar[Mapping[str, float]] = {}
    too_many: Answer
    other_refusals: ClassVar[Mapping[str, Answer]] = {}

    def __init__(self, trades: dict[tuple[str, str], Trades]):
        super().__init__()
        self.trades = trades
        self.refuses: Answer | None = None
        self.limit: tuple[float, float] | None = None
        self.arrivals: list[tuple[float, float]] = []
        self.delay = 0.0
        self.ahead = 0.0
        self.answer = self._answer

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        """The answer to a GET."""
        raise NotImplementedError

    def rows(self, pair: tuple[str, str], first: float, last: float) -> list[tuple[int, float, float]]:
        """(slot, price, volume) of candles with trades up to now, oldest first."""
        last = min(last, self.now())
        return [(slot, *said) for slot, said in sorted(self.trades[pair].items()) if first <= slot <= last]

    def now(self) -> float:
        return time.time() + self.ahead

    def newest(self, pair: tuple[str, str]) -> tuple[float, float]:
        """(last price, base traded in 24 h)."""
        rows = self.rows(pair, time.time() - 86_400, time.time())
        return rows[-1][1], sum(row[2] for row in rows)

    def over_limit(self, cost: float) -> bool:
        if not self.limit:
            return False
        amount, seconds = self.limit
        return sum(each for at, each in self.arrivals if at > time.time() - seconds) + cost > amount

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        cost = self.costs.get(url.path.rstrip("/").rpartition("/")[2], 1)
        refused = self.refuses or (self.too_many if self.over_limit(cost) else None)
        self.arrivals.append((time.time(), cost))
        time.sleep(self.delay)
        status, headers, document = refused or self.reply(url.path, dict(parse_qsl(url.query)))
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


def said(document: Any) -> Answer:
    return 200, {}, document
