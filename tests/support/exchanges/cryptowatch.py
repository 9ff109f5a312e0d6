"""Cryptowatch's REST API as archived: candles have closing times, and every answer shows the allowance."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tests.support.exchanges import STEP, Answer, ExchangeServer

ALLOWANCE = {"cost": 0.015, "remaining": 9.985, "upgrade": "For unlimited API access, create an account"}


def fine(result: object) -> Answer:
    return 200, {}, {"result": result, "cursor": {"last": "", "hasMore": False}, "allowance": ALLOWANCE}


class CryptowatchServer(ExchangeServer):
    name = "cryptowatch"
    costs: ClassVar = {"ohlc": 0.015, "markets": 0.003, "pairs": 0.003, "summaries": 0.015}
    too_many = (429, {}, {"error": "Out of allowance", "allowance": {"cost": 0.015, "remaining": 0}})
    other_refusals: ClassVar = {
        "http_404": (404, {}, {"error": "Instrument not found"}),
        "http_401": (401, {}, {"error": "unknown API key"}),
        "http_502": (502, {}, b"<html>Bad gateway</html>"),
    }

    #: Names of pairs that are not just their two currencies.
    called: Mapping[tuple[str, str], str] = MappingProxyType({})

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        pairs = {self.called.get(pair, "".join(pair).lower()): pair for pair in self.trades}
        if path == "/pairs":
            return fine([
                {"symbol": name, "base": {"symbol": base.lower()}, "quote": {"symbol": quote.lower()}}
                for name, (base, quote) in pairs.items()
            ])  # fmt: skip
        if path == "/markets":
            return fine([{"exchange": self.name, "pair": name, "active": True} for name in pairs])
        if path == "/markets/summaries":
            return fine({
                f"{self.name}:{name}": {"price": {"last": self.newest(pair)[0]}, "volume": self.newest(pair)[1]}
                for name, pair in pairs.items()
            })  # fmt: skip
        parts = path.strip("/").split("/")
        if parts[0] == "markets" and parts[-1] == "ohlc" and parts[2] in pairs:
            after, before = int(query["after"]), int(query.get("before", 10**12))
            rows = self.rows(pairs[parts[2]], after - STEP, before - STEP)
            return fine({str(STEP): [
                [slot + STEP, price, price, price, price, volume, price * volume] for slot, price, volume in rows
            ]})  # fmt: skip
        return self.other_refusals["http_404"]
