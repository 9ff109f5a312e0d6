"""Shows an Overview and what is wrong: as one screen of text, or as JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tracker import __version__
from tracker.clock import utc, wall
from tracker.doctor.findings import Finding, span
from tracker.doctor.overview import Overview
from tracker.plain import plain
from tracker.redis_address import parse
from tracker.sources.status import SourceState
from tracker.store.parts import Seen

#: Columns of a line. Of parts and of sources, at most so many that are well have a line of their own.
WIDTH, SHOWN = 80, 8
MB = 1e6


def text(overview: Overview, problems: Sequence[Finding]) -> str:
    """One screen of 80 columns."""
    title = f"data-tracker {__version__}, store {parse(overview.settings.redis_url).shown}"
    return "\n".join([
        f"{_cut(title, WIDTH - 22):{WIDTH - 22}}  {utc(wall())}",
        *_parts(overview.parts),
        *_sources(overview),
        *_rest(overview),
        *_todo(problems),
    ])  # fmt: skip


def _parts(parts: Sequence[Seen]) -> list[str]:
    lines = [
        _line(
            f"  {each.kind:7} {_cut(each.name, 16):16} {_cut(each.host, 16):16} {_state(each):15}"
            f" up {span(each.now - each.began):7} {','.join(each.queues)}"
        )
        for each in _worst_first(parts, "working")
    ]
    unwell = sum(each.state != "working" for each in parts)
    return ["Parts", *(_few(lines, unwell, "working") if lines else ["  none"])]


def _state(part: Seen) -> str:
    if part.state == "silent":
        return f"silent {span(part.age)}"  # killed, hanging or cut off
    return f"idle {span(part.idle + part.age)}" if part.state == "idle" else "working"


def _sources(overview: Overview) -> list[str]:
    lines = [_line(_source(overview, each)) for each in _worst_first(overview.sources, "ok")]
    return ["Sources", *_few(lines, sum(each.state != "ok" for each in overview.sources), "ok")]


def _source(overview: Overview, source: SourceState) -> str:
    fresh = overview.fresh[source.name]
    age = "no data yet" if fresh.age is None else f"last answer {span(fresh.age)} ago"
    late = f", {fresh.state.upper()}" if fresh.state == "late" else ""
    stale = f", {source.markets.stale} stale" if source.markets.stale else ""
    return (
        f"  {_cut(source.name, 16):16} {source.state:8} {source.markets.tracked:,} markets{stale}, "
        f"{age} (asked every {source.interval:g} s){late}"
    )


def _rest(overview: Overview) -> list[str]:
    queues = [
        f"{queue} {each.length:,}" + (f" (oldest {span(each.age)})" if each.length else "")
        for queue, each in sorted(overview.queues.waiting.items())
    ]
    errors = [each for each in overview.sources if each.last_error_at is not None]
    last = max(errors, key=lambda each: each.last_error_at or 0, default=None)
    error = f"{last.name}, {span(overview.now - (last.last_error_at or 0))} ago: {last.last_error}" if last else "none"
    return [
        _line(f"Queues      {', '.join(queues) or 'no beat has counted them'}"),
        _line(f"Store       {_store(overview) or f'not known: {overview.unasked}'}"),
        _line(f"Alerts      {overview.firing:,} firing; the last: {_alert(overview)}"),
        _line(f"Notices     {overview.pending:,} pending, {overview.dead:,} dead"),
        _line(f"Messages    {overview.refused:,} refused"),
        _line(f"Last error  {error}"),
    ]


def _store(overview: Overview) -> str:
    return "; ".join(
        f"{told['used_memory'] / MB:.1f} MB"
        + (f" of {told['maxmemory'] / MB:.0f}" if told.get("maxmemory") else "")
        + f", append-only file {'on' if told.get('aof_enabled') else 'off'}"
        + (f", last write {told['aof_last_write_status']}" if told.get("aof_enabled") else "")
        for told in overview.servers
    )


def _alert(overview: Overview) -> str:
    alert = overview.last_alert
    return f"{span(max(overview.now - alert.at, 0))} ago, {alert.rule} {alert.metric}" if alert else "none in a week"


def _todo(problems: Sequence[Finding]) -> list[str]:
    if not problems:
        return ["", "All is well."]
    lines = ["", f"{len(problems)} problems:" if len(problems) > 1 else "1 problem:"]
    for found in problems:
        lines += textwrap.wrap(f"! {found.check}: {plain(found.text)}", WIDTH, subsequent_indent="  ")
        lines += textwrap.wrap(plain(found.advice), WIDTH, initial_indent="  -> ", subsequent_indent="     ")
    return lines


def _worst_first(found: Sequence[Any], well: str) -> list[Any]:
    return sorted(found, key=lambda each: each.state == well)


def _few(lines: list[str], unwell: int, well: str) -> list[str]:
    """All lines of what is not well, which come first, and SHOWN others."""
    shown = lines[: unwell + SHOWN]
    left = len(lines) - len(shown)
    return [*shown, *([f"  and {left} more, {well}"] if left else [])]


def _line(text: str) -> str:
    return _cut(plain(text).rstrip(), WIDTH)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def as_json(overview: Overview, problems: Sequence[Finding]) -> str:
    """The same for programs, and more."""
    alert = overview.last_alert
    return json.dumps({
        "well": not problems,
        "problems": [{"check": each.check, "text": each.text, "advice": each.advice} for each in problems],
        "parts": [asdict(each) | {"state": each.state} for each in overview.parts],
        "sources": [each.as_json() | {"freshness": overview.fresh[each.name]._asdict()} for each in overview.sources],
        "queues": {queue: each._asdict() for queue, each in overview.queues.waiting.items()},
        "alerts": {"firing": overview.firing, "last": alert.id if alert else None},
        "notices": {"pending": overview.pending, "dead": overview.dead},
        "refused": overview.refused,
    }, indent=1)  # fmt: skip
