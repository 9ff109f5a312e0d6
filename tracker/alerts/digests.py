"""The texts of digests: one notice for many alerts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite

from tracker.alerts.rules import SEVERITIES
from tracker.clock import utc
from tracker.models import DIGEST, FIRING, REMINDER, RESOLVED, Alert, Delivery, Notice

#: A digest spells out so many alerts.
SPELT_OUT = 10
#: A digest of late alerts names so many rules and metrics, those with the most alerts.
LEADING = 5
#: What a line of a digest says of an alert.
TOLD = {FIRING: "", REMINDER: "still: ", RESOLVED: "over: "}


def above_ceiling(row: Delivery, told: Sequence[tuple[Delivery, Alert]], now: float) -> Notice:
    """The digest ``row``: one notice for all rows above a channel's ceiling, with their alerts."""
    largest = sorted(told, key=lambda each: _size(each[1]), reverse=True)
    rules = Counter(f"{alert.rule}{'' if each.event == FIRING else f' {each.event}'}" for each, alert in told)
    lines = [f"{count} x {rule}" for rule, count in rules.most_common()]
    lines += [f"{TOLD[each.event]}{alert.text}" for each, alert in largest[:SPELT_OUT]]
    lines += [f"and {len(told) - SPELT_OUT} more"] if len(told) > SPELT_OUT else []
    firing = [alert for each, alert in told if each.event != RESOLVED]
    return _notice(row, firing, _counted(len(told), "more alert"), lines, now)


def late(row: Delivery, alerts: Sequence[Alert], most: int, now: float) -> Notice:
    """The digest ``row``: one notice for the late ``alerts`` of an absence, of which at most ``most`` are recorded."""
    slots = [alert.slot for alert in alerts]
    minutes = (max(slots) - min(slots)) // 60 + 1
    more = " or more" if len(alerts) >= most else ""
    title = f"While away, {_counted(len(alerts), 'edge')}{more} in {_counted(minutes, 'minute')}"
    firing = [alert for alert in alerts if alert.state == FIRING]
    lines = [f"{utc(min(slots))} to {utc(max(slots))}, {len(firing) or 'none'} still firing"]
    lines += [f"rules: {_leading(alert.rule for alert in alerts)}"]
    lines += [f"metrics: {_leading(alert.metric for alert in alerts)}"]
    ranked = sorted(alerts, key=lambda alert: (alert.state == FIRING, _size(alert)), reverse=True)
    lines += [f"{'' if alert.state == FIRING else 'over: '}{alert.text}" for alert in ranked[:SPELT_OUT]]
    lines += [f"and {len(alerts) - SPELT_OUT} more"] if len(alerts) > SPELT_OUT else []
    return _notice(row, firing, title, lines, now)


def _leading(names: Iterable[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in Counter(names).most_common(LEADING))


def _notice(row: Delivery, firing: Sequence[Alert], title: str, lines: Sequence[str], now: float) -> Notice:
    """As severe as the most severe of the ``firing`` alerts. What is over wakes nobody."""
    severity = max((alert.severity for alert in firing), key=SEVERITIES.index, default=SEVERITIES[0])
    return Notice(row.id, row.id, DIGEST, severity, title, "\n".join(lines), now)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _size(alert: Alert) -> float:
    """How far an alert is from its baseline: a digest spells out the largest."""
    ratio = abs(alert.value / alert.baseline) if alert.baseline else 0.0
    return ratio if isfinite(ratio) else 0.0
