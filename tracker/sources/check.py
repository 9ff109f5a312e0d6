"""A trial fetch from one source, with a report of each step. Nothing is stored."""

import time
from collections.abc import Iterator
from functools import partial

from tracker.errors import MustWait, SettingsError, SourceError, StoreError
from tracker.models import Candles, Market
from tracker.settings import Settings
from tracker.sources import Pay, exists, free, kind, open_source, watchlist
from tracker.sources.budget import Budget, Plan, plan
from tracker.sources.watchlist import wanted
from tracker.store.connection import connect

#: Slots to ask for.
SLOTS = 10
#: Warns if the clocks differ by more seconds than this: candles may land in the wrong minute.
SKEW = 5
#: Longest wait for the budget, in seconds.
PATIENCE = 20


def dry_fetch(name: str, settings: Settings) -> Iterator[str]:
    """Yields the lines of the report one by one. Raises SourceError or MustWait if the source is not usable."""
    if not exists(name):
        raise SettingsError(f"{name!r}: expected a name as in SOURCES, which docs/sources.md explains")
    limit = plan(name, settings)
    pay, paid_from = _purse(name, settings, limit)
    yield f"{name} ({kind(name)}), {paid_from}"
    source = open_source(name, settings, pay)
    try:
        listed = source.markets()
        watchlist.require_whole(len(listed), 0)
        markets = watchlist.select(listed, wanted(name, settings))
        some = ", ".join(each.id for each in markets[:5])
        yield f"catalogue: {len(listed)} markets, {len(markets)} wanted: {some}{', ...' if len(markets) > 5 else ''}"
        market = markets[len(markets) // 2]
        since = settings.ring.slot(settings.clock.now()) - SLOTS * settings.step
        began = time.monotonic()
        candles = source.candles(market, since)
        yield f"candles of {market.id}: {_told(candles, market)}, in {time.monotonic() - began:.2f} s"
    except SourceError as error:
        pause = f" (it asks for a pause of {error.wait:.0f} s)" if error.wait else ""
        advice = " (a retry does not help)" if error.permanent else pause
        raise SourceError(error.reason, f"{error.reason}: {error}{advice}") from error
    if source.skew is not None:
        yield _clock(source.skew)
    yield "ok"


def _purse(name: str, settings: Settings, limit: Plan | None) -> tuple[Pay, str]:
    """How to pay for requests, and a text about it: the budget that workers share, or none if the store is away."""
    if not limit:
        return free, "without a budget"
    budget = Budget(connect(settings.redis_url, tries=1, patience=3), name, limit)
    shown = f"{limit.amount:g} in {limit.seconds} s"
    try:
        used = budget.used()
    except StoreError:
        return free, f"budget {shown} (not counted: the store does not answer)"
    return partial(_spend, budget), f"budget {shown}, {used:g} used"


def _spend(budget: Budget, url: str) -> None:
    """Waits until the budget pays for a request; raises MustWait if that takes longer than PATIENCE."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return budget.spend(url)
        except MustWait as wait:
            if time.monotonic() + wait.seconds > until:
                raise MustWait(wait.seconds, f"{budget.name}: {wait}: try again in {wait.seconds:.0f} s") from None
            time.sleep(wait.seconds)


def _clock(skew: float) -> str:
    line = f"clock: {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours"
    return f"{line}: candles may be refused as future, or come late" if abs(skew) > SKEW else line


def _told(candles: Candles, market: Market) -> str:
    if not len(candles.slots):
        return f"no trade in {SLOTS} slots"
    price, volume = candles.values[-1].tolist()
    refused = f", refused {candles.refused}" if candles.refused else ""
    return f"{len(candles.slots)}, the newest closes at {price:g} {market.quote} with {volume:g} {market.base}{refused}"
