"""Which markets of a source are tracked. Pure: catalogues, tickers and wishes in, markets out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tracker.errors import SourceError
from tracker.models import Market, Ticker
from tracker.settings import Settings

#: What a unit of these is worth, to compare what is traded: about the same.
SAME = ("usd", "usdt", "usdc", "fdusd", "dai", "eur")


@dataclass(frozen=True)
class Wanted:
    """Patterns of pairs, quote currencies (none: all), how many of the most traded, new currency -> its old name."""

    pairs: Sequence[str] = ("*",)
    quotes: Sequence[str] = ()
    top: int | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)


def wanted(name: str, settings: Settings) -> Wanted:
    """What of the catalogue of the source ``name`` is tracked."""
    configured = (settings.pairs, settings.quotes, settings.tops, settings.aliases)
    return Wanted(*(each.of(name) for each in configured))


def require_whole(count: int, before: int) -> None:
    """Raises SourceError for a catalogue of ``count`` markets that had ``before``: none, or not half as many."""
    if not count:
        raise SourceError("no_markets", "the catalogue is empty")
    if count * 2 < before:
        raise SourceError("catalogue_shrank", f"the catalogue has {count} markets, it had {before}: the list stays")


def select(markets: Sequence[Market], wanted: Wanted) -> list[Market]:
    """Those of ``markets`` with a wanted pair and quote, by id; raises SourceError if that is none."""
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
    """The ``count`` of ``markets`` with the largest value traded in 24 h, by id; raises SourceError without volumes.

    What a quote currency is worth is told by all that are ``listed``.
    """
    rates = _rates(listed, tickers)
    values = {
        market.id: ticker.traded * ticker.price * rates.get(market.quote, 0)
        for market in markets
        if (ticker := tickers.get(market.id)) and ticker.traded is not None
    }
    if not values:
        raise SourceError("no_volumes", "the source does not say what was traded, which TOP needs")
    ranked = sorted(markets, key=lambda market: (-values.get(market.id, -1), market.id))
    return sorted(ranked[:count], key=lambda market: market.id)


def forerunners(markets: Sequence[Market], aliases: Mapping[str, str]) -> dict[str, str]:
    """Market id -> the id it had before one of its currencies was renamed."""
    found = {}
    for market in markets:
        exchange, _, pair = market.id.partition(":")
        old = aliases.get(market.base, market.base) + aliases.get(market.quote, market.quote)
        if pair == market.base + market.quote and old != pair:
            found[market.id] = f"{exchange}:{old}"
    return found


def _rates(markets: Sequence[Market], tickers: Mapping[str, Ticker]) -> dict[str, float]:
    """Currency -> what it is worth in one of SAME, as far as a market or two tell."""
    rates = dict.fromkeys(SAME, 1.0)
    for _ in range(2):
        for market in markets:
            if market.base not in rates and market.quote in rates and market.id in tickers:
                rates[market.base] = tickers[market.id].price * rates[market.quote]
    return rates
