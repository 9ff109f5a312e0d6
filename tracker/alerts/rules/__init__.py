"""Rules: when a metric's new value is one to alert on. Pure: windows and rules in, firings out.

Each kind of rule has a level for a slot and a limit for it: the slot is above (level > limit), clear (level <= clear
limit) or neither; one without a level, or without the grounds that the rule asks for, is neither. All else is common.
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
