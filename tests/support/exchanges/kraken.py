"""Kraken's public REST API, https://docs.kraken.com/api: every answer is a 200, and errors are strings in it."""

from typing import ClassVar

from tests.support.exchanges import STEP, Answer, ExchangeServer, said

#: Currencies that have a legacy id.
LEGACY = {"BTC": "XXBT", "ETH": "XETH", "LTC": "XLTC", "XLM": "XXLM", "ZEC": "XZEC", "ETC": "XETC", "USD": "ZUSD"}


class Kraken(ExchangeServer):
    name = "kraken"
    reach = 720
    too_many = said({"error": ["EGeneral:Too many requests"]})
    other_refusals: ClassVar = {
        "unknown_market": said({"error": ["EQuery:Unknown asset pair"]}),
        "unavailable": said({"error": ["EService:Unavailable"]}),
    }

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        pairs = {self.called(pair): pair for pair in self.trades}
        if path == "/0/public/AssetPairs":
            return said({"error": [], "result": {name: self.listed(pair) for name, pair in pairs.items()}})
        if path == "/0/public/Ticker":
            return said({"error": [], "result": {name: self.ticker(pair) for name, pair in pairs.items()}})
        if path == "/0/public/OHLC" and query["pair"] in pairs:
            rows = self.rows(pairs[query["pair"]], float(query.get("since", 0)) + 1, 1e12)[-self.reach :]
            ohlc = [[slot, *[f"{price:.8f}"] * 4, f"{price:.8f}", f"{volume:.8f}", 5] for slot, price, volume in rows]
            last = rows[-1][0] - STEP if rows else 0
            return said({"error": [], "result": {query["pair"]: ohlc, "last": last}})
        return self.other_refusals["unknown_market"]

    def called(self, pair: tuple[str, str]) -> str:
        return "".join(LEGACY.get(currency, currency) for currency in pair)

    def listed(self, pair: tuple[str, str]) -> dict:
        base, quote = ({"BTC": "XBT"}.get(currency, currency) for currency in pair)
        return {
            "altname": base + quote, "wsname": f"{base}/{quote}", "aclass_base": "currency", "status": "online",
            "base": LEGACY.get(pair[0], pair[0]), "aclass_quote": "currency", "quote": LEGACY.get(pair[1], pair[1]),
            "pair_decimals": 5, "lot_decimals": 8, "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "ordermin": "1",
        }  # fmt: skip

    def ticker(self, pair: tuple[str, str]) -> dict:
        price, traded = self.newest(pair)
        last = f"{price:.8f}"
        day = [last, last]
        return {
            "a": [last, "1", "1.000"], "b": [last, "1", "1.000"], "c": [last, "0.00160710"], "p": day, "t": [1, 2],
            "v": [f"{traded / 2:.8f}", f"{traded:.8f}"], "l": day, "h": day, "o": last,
        }  # fmt: skip
