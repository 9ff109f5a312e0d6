"""Bitstamp's REST API, https://www.bitstamp.net/api: too many requests are a 400 with a code of its own."""

import time
from typing import ClassVar

from tests.support.exchanges import Answer, ExchangeServer, said


class Bitstamp(ExchangeServer):
    name = "bitstamp"
    too_many = (400, {}, {"status": "error", "reason": "Request rate limit exceeded.", "code": "400.002"})
    other_refusals: ClassVar = {"not_json": (404, {}, b"<html>Page not found</html>")}

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        pairs = {"".join(pair).lower(): pair for pair in self.trades}
        parts = path.strip("/").split("/")
        if path == "/api/v2/markets/":
            return said([self.listed(pair) for pair in pairs.values()])
        if path == "/api/v2/ticker/":
            return said([self.ticker(pair) for pair in pairs.values()])
        if parts[:3] == ["api", "v2", "ohlc"] and parts[3] in pairs:
            pair = pairs[parts[3]]
            rows = self.rows(pair, int(query["start"]), int(query["end"]))[: min(int(query["limit"]), 1_000)]
            ohlc = [
                {"timestamp": str(slot), **dict.fromkeys(("open", "high", "low", "close"), f"{price:.8f}"),
                 "volume": f"{volume:.8f}"}
                for slot, price, volume in rows
            ]  # fmt: skip
            return said({"data": {"pair": "/".join(pair), "ohlc": ohlc}})
        return self.other_refusals["not_json"]

    def listed(self, pair: tuple[str, str]) -> dict:
        return {
            "name": "/".join(pair), "market_symbol": "".join(pair).lower(), "base_currency": pair[0],
            "base_decimals": 8, "counter_currency": pair[1], "counter_decimals": 8, "minimum_order_value": "10",
            "trading": "Enabled", "market_type": "SPOT",
        }  # fmt: skip

    def ticker(self, pair: tuple[str, str]) -> dict:
        price, traded = self.newest(pair)
        return {
            "timestamp": str(int(time.time())), "last": f"{price:.8f}", "volume": f"{traded:.8f}",
            "pair": "/".join(pair), "vwap": f"{price:.8f}", "open": f"{price:.8f}", "percent_change_24": "1.24",
        }  # fmt: skip
