"""The picture of an alert: its metric over two hours, with baseline, limit and edge, as a PNG."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from tracker.alerts.rules import Amount
from tracker.models import METRIC_ID, PRICE, VOLUME, Alert, Metric
from tracker.series.ring import HOUR
from tracker.store.series import Store

#: Seconds for the child process to draw. It takes a tenth of one.
LONGEST = 1.0
#: Seconds that a picture covers, and how many of them are after the edge, once they have passed.
COVERED, AFTER = 2 * HOUR, 900
#: It covers so many slots at least, if slots are long.
FEWEST = 30
#: Bytes of a picture at most. It has about 30 kB.
LARGEST = 500_000
CHILD = Path(__file__).with_name("drawing.py")
#: Kinds whose values are those of the metric.
DRAWN = {"ratio", "change", "threshold", "zscore", "spread", "all"}


def drawn(store: Store, sources: tuple[str, ...], alert: Alert, now: float) -> bytes:
    """The picture of ``alert``; empty if there is none: it is about no series, or its samples are gone.

    A child process draws it. Raises StoreError, OSError, or SubprocessError if the child dies or takes too long.
    """
    plot = _plot(store, sources, alert, now)
    if not plot:
        return b""
    done = subprocess.run(
        [sys.executable, "-I", str(CHILD)], input=json.dumps(plot).encode(), capture_output=True, timeout=LONGEST,
        check=True,
    )  # fmt: skip
    return done.stdout if done.stdout.startswith(b"\x89PNG") and len(done.stdout) <= LARGEST else b""


def _plot(store: Store, sources: tuple[str, ...], alert: Alert, now: float) -> dict[str, Any] | None:
    """What drawing.py reads, or None."""
    if alert.kind not in DRAWN or not METRIC_ID.fullmatch(alert.metric):
        return None
    ring, metric = store.ring, Metric.parse(alert.metric)
    view = store.view(metric.market, [metric], sources, now)
    slots = ring.slots(now)
    until = min(alert.slot + AFTER, int(slots[-1]))
    shown = (slots > until - max(COVERED, FEWEST * ring.step)) & (slots <= until)
    values = [None if math.isnan(value) else value for value in view.values[0][shown].tolist()]
    if alert.slot not in slots[shown] or not any(value is not None for value in values):
        return None
    unit = f" in {metric.unit(view.market)}" if view.market else ""
    every = {60: "a minute", HOUR: "an hour"}.get(ring.step, f"in {ring.step // 60} min")
    return {
        "title": f"{alert.rule}: {alert.metric}",
        "unit": f"{metric.field}{unit}{'' if metric.column == PRICE else f' {every}'}",
        "bars": metric.column == VOLUME,
        "first": int(slots[shown][0]), "step": ring.step, "slot": alert.slot, "value": alert.value,
        "told": f"{Amount(alert.value):.6g}",
        "values": values,
        "lines": _lines(alert),
    }  # fmt: skip


def _lines(alert: Alert) -> list[dict[str, Any]]:
    """The limit and the baseline, each with its name, if the kind has one that can be drawn."""
    baseline = alert.baseline
    if baseline is None or not math.isfinite(baseline):
        baseline = math.nan
    percent = math.copysign(alert.factor, alert.value - baseline)
    limits = {
        "ratio": (alert.factor * baseline, f"{alert.factor:g} x"),
        "change": (baseline * (1 + percent / 100), f"{percent:+g} %"),
        "spread": (baseline * (1 + percent / 100), f"{percent:+g} %"),
        "threshold": (alert.factor, ""),
    }
    before = f"{alert.window // 60} min before"
    named = {"change": before, "spread": f"median of {alert.samples} exchanges"}.get(alert.kind, f"mean of {before}")
    value, told = limits.get(alert.kind, (math.nan, ""))
    lines = [
        {"kind": "limit", "value": value, "name": f"limit: {f'{told} = ' if told else ''}{Amount(value):.6g}"},
        {"kind": "baseline", "value": baseline, "name": f"{named}: {Amount(baseline):.6g}"},
    ]
    return [line for line in lines if math.isfinite(value if line["kind"] == "limit" else baseline)]
