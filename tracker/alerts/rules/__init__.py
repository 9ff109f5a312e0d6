"""Rules decide when a metric's new value is an alert. Pure: windows and rules in, firings out.

Each kind of rule computes a level for a slot. The slot is above (level > limit), clear (level <= clear limit) or
neither. A slot without a level, or with too few samples in its baseline, is neither. All else is common to all kinds.
"""

from tracker.alerts.rules.base import SEVERITIES, Rule, SeriesRule
from tracker.alerts.rules.edges import (
    FRESH_STEPS,
    Edge,
    cleared,
    firings,
    fresh_steps,
    newest_level,
    rising_edges,
    screen,
)
from tracker.alerts.rules.kinds import DEFAULT_RULES, KINDS, Change, Ratio, Stale, Threshold, Zscore

__all__ = [
    "DEFAULT_RULES",
    "FRESH_STEPS",
    "KINDS",
    "SEVERITIES",
    "Change",
    "Edge",
    "Ratio",
    "Rule",
    "SeriesRule",
    "Stale",
    "Threshold",
    "Zscore",
    "cleared",
    "firings",
    "fresh_steps",
    "newest_level",
    "rising_edges",
    "screen",
]
