"""Coinbase Exchange's REST API, https://docs.cdp.coinbase.com/exchange: newest first, and low and high before open."""

from datetime import datetime
from typing import ClassVar

from tests.support.exchanges import STEP, Answer, ExchangeServer, said


class Coinbase(ExchangeServer):
    name = "coinbaseexchange"
    too_many = (429, {}, {"message": "Public rate limit exceeded"})
    other_refusals: ClassVar = {"http_503": (503, {"Retry-After": "30"}, {"message": "ServiceUnavailable"})}

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        if not self.headers.get("User-Agent"):
            return 400, {}, {"message": "User-Agent header is required."}
        pairs = {"-".join(pair): pair for pair in self.trades}
        parts = path.strip("/").split("/")
        if path == "/products":
            return said([self.listed(pair) for pair in pairs.values()])
        if path == "/products/stats":
            return said({name: self.stats(pair) for name, pair in pairs.items()} | {"NEAR-USD": {"stats_30day": {}}})
        if len(parts) == 3 and parts[2] == "candles" and parts[1] in pairs:
            first, last = (datetime.fromisoformat(query[bound]).timestamp() for bound in ("start", "end"))
            if last - first >= 300 * STEP:
                return 400, {}, {"message": "granularity too small for the requested time range."}
            rows = self.rows(pairs[parts[1]], first, last)
            return said([[slot, price, price, price, price, volume] for slot, price, volume in reversed(rows)])
        return 404, {}, {"message": "NotFound"}

    def listed(self, pair: tuple[str, str]) -> dict:
        return {
            "id": "-".join(pair), "base_currency": pair[0], "quote_currency": pair[1], "status": "online",
            "base_increment": "0.00000001", "quote_increment": "0.01", "trading_disabled": False,
            "margin_enabled": False, "min_market_funds": "1",
        }  # fmt: skip

    def stats(self, pair: tuple[str, str]) -> dict:
        price, traded = self.newest(pair)
        day = {"open": "1.8", "high": "1.858", "low": "1.786", "last": f"{price:.8f}", "volume": f"{traded:.8f}"}
        return {"stats_30day": {"volume": "131512950.514"}, "stats_24hour": day}
