"""The budget of requests to a source. All workers on all machines share it; the library limits counts it in Redis."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from tracker.clock import wall
from tracker.errors import MustWait, SettingsError
from tracker.settings import Settings
from tracker.store.connection import PREFIX, translated

#: A window of MARGIN_FROM seconds or more is counted MARGIN seconds longer: requests take time to arrive, and machines'
#: clocks differ.
MARGIN, MARGIN_FROM = 1, 10
#: Shortest wait in seconds, so that workers do not return the moment the window ends.
SHORTEST_WAIT = 0.1
#: A budget of fewer units than this is counted with fractions.
EXACT = 100
#: Tolerance for floating-point error in products of decimal fractions.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Plan:
    """Allows ``amount`` units in any period of ``seconds``. What a unit is depends on the source.

    costs: last part of a URL's path -> units of a request, 1 if not listed; fetch: units of an ordinary fetch;
    catalogue: units to read the catalogue, which happens every hour.
    """

    amount: float
    seconds: int
    costs: Mapping[str, float] = field(default_factory=dict)
    fetch: float = 1
    catalogue: float = 2

    def cost(self, url: str) -> float:
        """Units of a request to ``url``, at most the whole budget: a dearer request could never be made."""
        return min(self.costs.get(urlsplit(url).path.rstrip("/").rpartition("/")[2], 1), self.amount)

    def fetches(self, seconds: float) -> int:
        """How many ordinary fetches the budget allows in ``seconds``, on average. At least 1."""
        return max(int(self.amount / _counted(self.seconds) * seconds / self.fetch), 1)


BINANCE = Plan(6_000, 60, {"klines": 2, "exchangeInfo": 20, "24hr": 80}, fetch=2, catalogue=20)
#: What each exchange documents, or what it accepted in a measurement.
PLANS = {
    "kraken": Plan(15, 15),  # documented: a counter of 15; measured: one request a second, without end
    "binance": BINANCE,
    "binanceus": BINANCE,
    "coinbaseexchange": Plan(10, 1),
    "bitstamp": Plan(160, 10),  # documented: 10,000 in 10 minutes
    "okx": Plan(20, 2),
    "cryptowatch": Plan(
        10, 86_400, {"ohlc": 0.015, "summaries": 0.015, "markets": 0.003, "pairs": 0.003}, fetch=0.015, catalogue=0.006
    ),
}  # fmt: skip
#: For all other exchanges: the strictest ones allow one request a second.
CAREFUL = Plan(10, 10)


def plan(name: str, settings: Settings) -> Plan | None:
    """The budget of the source ``name``; None if it is unlimited."""
    known = PLANS.get(name, CAREFUL)
    if own := settings.budgets.of(name):
        return replace(known, amount=own.amount, seconds=own.seconds)
    unlimited = name == "simulator" or (name == "cryptowatch" and settings.cryptowatch_key)
    return None if unlimited else known


def check(settings: Settings) -> None:
    """Raises SettingsError for a BUDGET that the hourly catalogue alone uses up: no market would ever be fetched."""
    for name in settings.sources:
        own, limit = settings.budgets.of(name), plan(name, settings)
        if not own or not limit:
            continue
        paid, needed = limit.amount / _counted(limit.seconds) * 3_600, limit.catalogue + limit.fetch
        if paid < needed:
            raise SettingsError(
                f"BUDGET='{name}={own.amount:g}/{own.seconds}': expected {needed:g} an hour or more, which the "
                f"catalogue and one fetch need; this is {paid:.2g} an hour"
            )


class Budget:
    """The shared budget of the source ``name``. ``spend`` and ``used`` may raise StoreError."""

    def __init__(self, redis: Redis, name: str, plan: Plan):
        self.name = name
        self.plan = plan
        #: The library counts whole units, so fractions are scaled up. For a large amount that is not worth the cost.
        exact = [*plan.costs.values(), plan.amount if plan.amount < EXACT else 1]
        self.scale = 1 if all(float(each).is_integer() for each in exact) else 1_000
        units = math.floor(plan.amount * self.scale + ROUNDING)
        self.item = RateLimitItemPerSecond(units, _counted(plan.seconds), namespace=name)
        pool: Any = redis.connection_pool
        self.limiter = MovingWindowRateLimiter(
            _Storage("redis://", connection_pool=pool, key_prefix=f"{PREFIX}:budget")
        )

    def spend(self, url: str) -> None:
        """Pays for a request to ``url``; raises MustWait if the budget of the current window does not suffice."""
        with translated():
            cost = math.ceil(self.plan.cost(url) * self.scale - ROUNDING)
            if self.limiter.hit(self.item, cost=min(cost, self.item.amount)):
                return
            reset = self.limiter.get_window_stats(self.item).reset_time
        wait = max(reset - wall(), SHORTEST_WAIT)
        raise MustWait(wait, f"it waits for its budget of {self.plan.amount:g} in {self.plan.seconds} s")

    def used(self) -> float:
        """Units spent in the window that ends now."""
        with translated():
            return self.plan.amount - self.limiter.get_window_stats(self.item).remaining / self.scale


class _Storage(RedisStorage):
    """Uses the store's time (``wall``) on all machines. The library's own storage uses each machine's clock."""

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return bool(self.lua_acquire_moving_window([self.prefixed_key(key)], [wall(), limit, expiry, amount]))

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = wall()
        window: Any = self.lua_moving_window([self.prefixed_key(key)], [now - expiry, limit])
        return (float(window[0]), window[1]) if window else (now, 0)


def _counted(seconds: int) -> int:
    return seconds + MARGIN if seconds >= MARGIN_FROM else seconds
