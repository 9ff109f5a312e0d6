"""Chooses the markets of a source to track. Pure: catalogue, tickers and settings in, markets out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tracker.errors import SourceError
from tracker.models import Market, Ticker
from tracker.settings import Settings

#: Currencies of about equal worth, good enough to compare traded values.
SAME = ("usd", "usdt", "usdc", "fdusd", "dai", "eur")


@dataclass(frozen=True)
class Wanted:
    """pairs: patterns; quotes: currencies, empty: all; top: how many of the most traded; aliases: new -> old name."""

    pairs: Sequence[str] = ("*",)
    quotes: Sequence[str] = ()
    top: int | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)


def wanted(name: str, settings: Settings) -> Wanted:
    """The settings that choose the markets of the source ``name``."""
    configured = (settings.pairs, settings.quotes, settings.tops, settings.aliases)
    return Wanted(*(each.of(name) for each in configured))


def require_whole(count: int, before: int) -> None:
    """Raises SourceError if a catalogue is empty, or has fewer than half of the ``before`` markets that it had."""
    if not count:
        raise SourceError("no_markets", "the catalogue is empty")
    if count * 2 < before:
        raise SourceError("catalogue_shrank", f"the catalogue has {count} markets, it had {before}: the list stays")


def select(markets: Sequence[Market], wanted: Wanted) -> list[Market]:
    """The ``markets`` with a wanted pair and quote, sorted by id; raises SourceError if there is none."""
    chosen = [
        market
        for market in sorted(markets, key=lambda market: market.id)
        if any(fnmatchcase(market.id.partition(":")[2], pattern) for pattern in wanted.pairs)
        and (not wanted.quotes or any(fnmatchcase(market.quote, quote) for quote in wanted.quotes))
    ]
    if not chosen:
        raise SourceError("none_wanted", f"none of {len(markets)} markets matches PAIRS {', '.join(wanted.pairs)} and "
                          f"QUOTES {', '.join(wanted.quotes) or 'all'}")  # fmt: skip
    return chosen


def most_traded(
    markets: Sequence[Market], listed: Sequence[Market], tickers: Mapping[str, Ticker], count: int
) -> list[Market]:
    """The ``count`` ``markets`` with the largest value traded in 24 h, sorted by id.

    All ``listed`` markets serve to find what a quote currency is worth. Raises SourceError if no volume is known.
    """
    rates = _rates(listed, tickers)
    values = {
        market.id: ticker.traded * ticker.price * rates.get(market.quote, 0)
        for market in markets
        if (ticker := tickers.get(market.id)) and ticker.traded is not None
    }
    if not values:
        raise SourceError("no_volumes", "TOP needs traded volumes, and the source gives none")
    ranked = sorted(markets, key=lambda market: (-values.get(market.id, -1), market.id))
    return sorted(ranked[:count], key=lambda market: market.id)


def forerunners(markets: Sequence[Market], aliases: Mapping[str, str]) -> dict[str, str]:
    """Market id -> its id before the rename, for each market with a renamed currency."""
    found = {}
    for market in markets:
        exchange, _, pair = market.id.partition(":")
        old = aliases.get(market.base, market.base) + aliases.get(market.quote, market.quote)
        if pair == market.base + market.quote and old != pair:
            found[market.id] = f"{exchange}:{old}"
    return found


def _rates(markets: Sequence[Market], tickers: Mapping[str, Ticker]) -> dict[str, float]:
    """Currency -> its price in one of SAME, found through one market or a chain of two."""
    rates = dict.fromkeys(SAME, 1.0)
    for _ in range(2):
        for market in markets:
            if market.base not in rates and market.quote in rates and market.id in tickers:
                rates[market.base] = tickers[market.id].price * rates[market.quote]
    return rates
