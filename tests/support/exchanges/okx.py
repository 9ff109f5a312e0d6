"""OKX's REST API, https://www.okx.com/docs-v5: an error is a code other than "0", whatever the status."""

from typing import ClassVar

from tests.support.exchanges import Answer, ExchangeServer, said


def fine(rows: list) -> Answer:
    return said({"code": "0", "msg": "", "data": rows})


class Okx(ExchangeServer):
    name = "okx"
    too_many = said({"code": "50011", "msg": "Too Many Requests", "data": []})
    other_refusals: ClassVar = {
        "http_429": (429, {}, {"code": "50011", "msg": "Too Many Requests", "data": []}),
        "unknown_market": said({"code": "51001", "msg": "Instrument ID does not exist", "data": []}),
    }

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        pairs = {"-".join(pair): pair for pair in self.trades}
        if path == "/api/v5/public/instruments":
            return fine([self.listed(pair) for pair in pairs.values()] if query["instType"] == "SPOT" else [])
        if path == "/api/v5/market/tickers":
            return fine([self.ticker(pair) for pair in pairs.values()])
        if path in ("/api/v5/market/candles", "/api/v5/market/history-candles") and query["instId"] in pairs:
            newer, older = int(query.get("before", 0)), int(query.get("after", 10**15))
            rows = self.rows(pairs[query["instId"]], newer / 1_000 + 0.001, older / 1_000 - 0.001)
            newest = rows[::-1][: min(int(query.get("limit", 100)), 300)]
            return fine([
                [str(slot * 1_000), *[f"{price:.8f}"] * 4, f"{volume:.8f}", "0.5", "0.5", "1"]
                for slot, price, volume in newest
            ])  # fmt: skip
        return self.other_refusals["unknown_market"]

    def listed(self, pair: tuple[str, str]) -> dict:
        return {
            "instType": "SPOT", "instId": "-".join(pair), "baseCcy": pair[0], "quoteCcy": pair[1], "state": "live",
            "lotSz": "0.00000001", "tickSz": "0.01", "minSz": "0.01", "lever": "", "uly": "", "settleCcy": "",
        }  # fmt: skip

    def ticker(self, pair: tuple[str, str]) -> dict:
        price, traded = self.newest(pair)
        return {
            "instType": "SPOT", "instId": "-".join(pair), "last": f"{price:.8f}", "open24h": f"{price:.8f}",
            "vol24h": f"{traded:.8f}", "volCcy24h": f"{traded * price:.8f}", "ts": "1621440583784",
        }  # fmt: skip
