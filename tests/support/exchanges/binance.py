"""Binance's spot REST API, https://developers.binance.com/docs/binance-spot-api-docs: a candle for every minute."""

import time
from typing import ClassVar

from tests.support.exchanges import STEP, Answer, ExchangeServer, said


class Binance(ExchangeServer):
    name = "binance"
    costs: ClassVar = {"klines": 2, "exchangeInfo": 20, "24hr": 80}
    too_many = (429, {"Retry-After": "7"}, {"code": -1003, "msg": "Too many requests; current limit is 6000."})
    other_refusals: ClassVar = {
        "unknown_market": (400, {}, {"code": -1121, "msg": "Invalid symbol."}),
        "http_418": (418, {"Retry-After": "300"}, {"code": -1003, "msg": "Way too much weight used; IP banned."}),
        "http_403": (403, {}, b"<html><body><h1>403 Forbidden</h1></body></html>"),
        "http_451": (451, {}, {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. "
                               "Eligibility' in https://www.binance.com/en/terms."}),
    }  # fmt: skip

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        pairs = {"".join(pair): pair for pair in self.trades}
        if path == "/api/v3/exchangeInfo":
            symbols = [self.listed(pair) for pair in pairs.values()]
            return said({"timezone": "UTC", "serverTime": int(time.time() * 1e3), "rateLimits": [], "symbols": symbols})
        if path == "/api/v3/ticker/24hr":
            return said([self.ticker(pair) for pair in pairs.values()])
        if path == "/api/v3/klines" and query["symbol"] in pairs:
            limit = min(int(query.get("limit", 500)), 1_000)
            return said(self.klines(pairs[query["symbol"]], int(query["startTime"]) // 1_000, limit))
        return self.other_refusals["unknown_market"]

    def klines(self, pair: tuple[str, str], first: int, limit: int) -> list[list]:
        traded = {slot: (price, volume) for slot, price, volume in self.rows(pair, 0, 1e12)}
        price = next(price for slot, (price, _) in sorted(traded.items(), reverse=True) if slot <= first)
        found = []
        for slot in range(first, min(first + limit * STEP, int(self.now()) + 1), STEP):
            price, volume = traded.get(slot, (price, 0.0))
            shown = [f"{price:.8f}"] * 4
            found.append([slot * 1_000, *shown, f"{volume:.8f}", slot * 1_000 + 59_999, "0.5", 40, "10.9", "0.2", "0"])
        return found

    def listed(self, pair: tuple[str, str]) -> dict:
        return {
            "symbol": "".join(pair), "status": "TRADING", "baseAsset": pair[0], "quoteAsset": pair[1],
            "baseAssetPrecision": 8, "quotePrecision": 8, "isSpotTradingAllowed": True, "isMarginTradingAllowed": True,
            "filters": [], "permissions": [], "permissionSets": [["SPOT"]],
        }  # fmt: skip

    def ticker(self, pair: tuple[str, str]) -> dict:
        price, traded = self.newest(pair)
        return {
            "symbol": "".join(pair), "lastPrice": f"{price:.8f}", "volume": f"{traded:.8f}",
            "quoteVolume": f"{traded * price:.8f}", "openTime": 1753701474013, "closeTime": int(time.time() * 1e3),
        }  # fmt: skip
