"""The state of each source, from workers' notes, its guard and its budget, as values and as text for a terminal."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tracker.clock import wall
from tracker.models import FIELDS
from tracker.plain import plain
from tracker.settings import Settings
from tracker.sources import kind
from tracker.sources.breaker import Breaker
from tracker.sources.budget import Budget, plan
from tracker.sources.guard import SourceGuard
from tracker.store.connection import connect
from tracker.store.repairs import latest
from tracker.store.series import Store

#: Intervals without an answer that make a market stale, and how many names of stale markets are shown.
STALE, SHOWN = 3, 5


@dataclass(frozen=True)
class Markets:
    """Counts. tracked: on the watch list; stale: no answer for STALE intervals; of_catalogue: all of the source."""

    tracked: int
    stale: int
    of_catalogue: int | None


@dataclass(frozen=True)
class BudgetState:
    """limit: units in any ``period`` seconds, None: unlimited; deferred: markets that the last tick left unpaid."""

    limit: float | None
    period: int | None
    used: float | None
    deferred: int


@dataclass(frozen=True)
class BreakerState:
    """failures: in a row; until: no calls before this time, in Unix seconds, None if calls are allowed."""

    state: str
    failures: int
    until: float | None


@dataclass(frozen=True)
class SourceState:
    """state: ok, degraded, down, blocked or starting; reason: why. Times are Unix seconds, None means never.

    clock_skew: how far its clock is ahead of ours, in seconds; refused: reason -> number of refused candles or answers.
    """

    name: str
    kind: str
    state: str
    reason: str
    interval: float
    markets: Markets
    newest_slot: int | None
    last_success: float | None
    last_error: str | None
    last_error_at: float | None
    budget: BudgetState
    breaker: BreakerState
    clock_skew: float | None
    refused: dict[str, int]
    stale: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All fields as a dict, without the names of stale markets."""
        return {name: value for name, value in asdict(self).items() if name != "stale"}


def states(store: Store, settings: Settings) -> list[SourceState]:
    """The states of all configured sources; may raise StoreError."""
    return [_state(store, settings, name) for name in settings.sources]


def report(settings: Settings) -> str:
    """A few lines of text for each source; raises StoreError if the store does not answer."""
    store = Store(connect(settings.redis_url, tries=1, patience=3), settings.ring)
    ranked = ", ".join(f"{store.ranked(field)} of {field}" for field in FIELDS)
    now = settings.clock.now()
    repaired = latest(store.redis)
    return "\n".join([
        *([f"store repaired: {repaired}"] if repaired else []),
        f"ranked metrics: {ranked}",
        *(_text(state, now) for state in states(store, settings)),
    ])  # fmt: skip


def _state(store: Store, settings: Settings, name: str) -> SourceState:
    noted, now = store.status(name), settings.clock.now()
    interval = settings.intervals.of(name)
    tracked = list(store.watched(name))
    stale = store.unanswered(name, tracked, now - STALE * interval)
    limit = plan(name, settings)
    used = Budget(store.redis, name, limit).used() if limit else None
    deferred = int(noted.get("deferred", 0))
    breaker, pause, why = SourceGuard(store.redis, name).look()
    paused = f"it asked for a pause, {pause:.0f} s are left: {why}" if pause else ""
    state, reason = _judge(noted, breaker, paused, len(tracked), len(stale), deferred)
    return SourceState(
        name, kind(name), state, reason, interval,
        Markets(len(tracked), len(stale), _whole(noted, "catalogue")),
        _whole(noted, "newest_slot"),
        _number(noted, "last_success"),
        noted.get("last_error"),
        _number(noted, "last_error_at"),
        BudgetState(limit.amount if limit else None, limit.seconds if limit else None, used, deferred),
        BreakerState(breaker.state(wall()), breaker.failures, breaker.until or None),
        _number(noted, "clock_skew"),
        {key.partition(":")[2]: int(count) for key, count in sorted(noted.items()) if key.startswith("refused:")},
        stale[:SHOWN],
    )  # fmt: skip


def _judge(
    noted: dict[str, str], breaker: Breaker, pause: str, tracked: int, stale: int, deferred: int
) -> tuple[str, str]:
    """(state, reason) of a source; see SourceState."""
    error = noted.get("last_error", "")
    if breaker.blocked:
        return "blocked", error or breaker.blocked
    if breaker.until:
        return "down", error
    if "last_success" not in noted:
        waits = pause or noted.get("waiting") or ("no market has had an answer yet" if tracked else "")
        return ("down", error) if error else ("starting", waits or "no request was made yet")
    if tracked and stale == tracked:
        return "down", pause or "no market has had an answer lately"
    reasons = [
        pause,
        f"the budget does not pay for {deferred} of {tracked} markets each interval" if deferred else "",
        f"{stale} of {tracked} markets are stale" if stale else "",
        "its new catalogue was refused" if "catalogue_refused_since" in noted else "",
    ]
    reason = "; ".join(filter(None, reasons))
    return ("degraded", reason) if reason else ("ok", "")


def _text(source: SourceState, now: float) -> str:
    markets, budget = source.markets, source.budget
    spent = "unlimited" if budget.limit is None else f"{budget.used:g} of {budget.limit:g} in {budget.period} s"
    lines = [
        f"{source.name} ({source.kind}): {source.state}{source.reason and f', {plain(source.reason)}'}",
        f"  markets: {markets.tracked} tracked of {markets.of_catalogue or '?'}, {markets.stale} stale"
        + (f": {', '.join(source.stale)}{' ...' if markets.stale > SHOWN else ''}" if source.stale else ""),
        f"  asked every {source.interval:g} s, last answer {_ago(source.last_success, now)}, "
        f"newest slot {_ago(source.newest_slot, now)}",
        f"  budget: {spent}, {budget.deferred} markets deferred; breaker: {source.breaker.state}",
    ]
    if source.clock_skew is not None:
        lines.append(f"  its clock is {abs(source.clock_skew):.1f} s {'ahead' if source.clock_skew > 0 else 'behind'}")
    if source.refused:
        lines.append("  refused: " + ", ".join(f"{reason} {count}" for reason, count in source.refused.items()))
    if source.last_error:
        lines.append(f"  last error {_ago(source.last_error_at, now)}: {plain(source.last_error)}")
    return "\n".join(lines)


def _number(noted: dict[str, str], name: str) -> float | None:
    return float(noted[name]) if name in noted else None


def _whole(noted: dict[str, str], name: str) -> int | None:
    return int(noted[name]) if name in noted else None


def _ago(at: float | None, now: float) -> str:
    return f"{max(now - at, 0):.0f} s ago" if at is not None else "never"
