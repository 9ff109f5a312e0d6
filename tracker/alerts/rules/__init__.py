"""Rules decide when a metric's new value is an alert. Pure: windows and rules in, firings out.

Each kind of rule computes a level for a slot. The slot is above (level > limit), clear (level <= clear limit) or
neither. A slot without a level, or with too few samples in its baseline, is neither. All else is common to all kinds.
``stale`` and ``rank`` have no slots: they are about a source, and about a ranking.
"""

from tracker.alerts.rules.amounts import Amount
from tracker.alerts.rules.base import SEVERITIES, LevelRule, Rule, SeriesRule
from tracker.alerts.rules.edges import (
    FRESH_STEPS,
    Edge,
    by_field,
    cleared,
    firings,
    fresh_steps,
    look_back,
    matched,
    rising_edges,
    screen,
)
from tracker.alerts.rules.kinds import DEFAULT_RULES, Change, Ratio, Stale, Threshold, Zscore
from tracker.alerts.rules.ranked import Ranked
from tracker.alerts.rules.series import Series, of_markets
from tracker.alerts.rules.silent import Silent
from tracker.alerts.rules.spread import Spread
from tracker.alerts.rules.together import All, Condition

KINDS: dict[str, type[Rule]] = {
    kind.KIND: kind for kind in (Ratio, Change, Threshold, Zscore, All, Spread, Silent, Ranked, Stale)
}

__all__ = [
    "DEFAULT_RULES",
    "FRESH_STEPS",
    "KINDS",
    "SEVERITIES",
    "All",
    "Amount",
    "Change",
    "Condition",
    "Edge",
    "LevelRule",
    "Ranked",
    "Ratio",
    "Rule",
    "Series",
    "SeriesRule",
    "Silent",
    "Spread",
    "Stale",
    "Threshold",
    "Zscore",
    "by_field",
    "cleared",
    "firings",
    "fresh_steps",
    "look_back",
    "matched",
    "of_markets",
    "rising_edges",
    "screen",
]
