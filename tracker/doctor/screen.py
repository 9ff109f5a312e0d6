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
from tracker.doctor.running import QUEUES
from tracker.plain import plain
from tracker.redis_address import parse
from tracker.sources.status import SourceState
from tracker.store.parts import Seen

#: Columns of a line. At most so many parts, sources and problems have a line of their own.
WIDTH, SHOWN = 80, 10
#: Seconds after which the count of the queues is said to be old.
OLD = 15
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
    worst_first = sorted(parts, key=lambda part: part.state == "working")
    return ["Parts", *(_few([_line(_part(each)) for each in worst_first]) or ["  none"])]


def _part(part: Seen) -> str:
    queues = "all queues" if {*part.queues} >= QUEUES.keys() else ",".join(part.queues)
    up = span(part.now - part.began + part.age)
    return f"  {part.kind:6} {_cut(part.name, 18):18} {_end(part.host, 14):14} {_state(part):13} up {up:7} {queues}"


def _state(part: Seen) -> str:
    if part.state == "silent":
        return f"silent {span(part.age)}"  # killed, hanging or cut off
    return f"idle {span(part.idle + part.age)}" if part.state == "idle" else "working"


def _sources(overview: Overview) -> list[str]:
    worst_first = sorted(overview.sources, key=lambda source: source.state == "ok")
    return ["Sources", *_few([_line(_source(overview, each)) for each in worst_first])]


def _source(overview: Overview, source: SourceState) -> str:
    fresh = overview.fresh[source.name]
    age = "no data yet" if fresh.age is None else f"last answer {span(fresh.age)} ago"
    state = "late" if (source.state, fresh.state) == ("ok", "late") else source.state
    stale = f", {source.markets.stale} stale" if source.markets.stale else ""
    return f"  {_cut(source.name, 16):16} {state:8} {source.markets.tracked:,} markets{stale}, {age}"


def _rest(overview: Overview) -> list[str]:
    queues = [
        f"{queue} {each.length:,}" + (f" (oldest {span(each.age)})" if each.length else "")
        for queue, each in sorted(overview.queues.waiting.items())
    ]
    seen = overview.queues.seen_age
    old = f", counted {span(seen)} ago" if seen is not None and seen > OLD else ""
    errors = [each for each in overview.sources if each.last_error_at is not None]
    last = max(errors, key=lambda each: each.last_error_at or 0, default=None)
    error = f"{last.name}, {span(overview.now - (last.last_error_at or 0))} ago: {last.last_error}" if last else "none"
    return [
        _line(f"Queues      {', '.join(queues) or 'no beat has counted them'}{old}"),
        _line(f"Store       {_store(overview.servers) if overview.servers else f'not known: {overview.unasked}'}"),
        _line(f"Alerts      {overview.firing:,} firing; the last: {_alert(overview)}"),
        _line(f"Notices     {overview.pending:,} pending, {overview.dead:,} dead"),
        _line(f"Messages    {overview.refused:,} refused"),
        _line(f"Last error  {error}"),
    ]


def _store(servers: Sequence[dict[str, Any]]) -> str:
    used, limit = (sum(told.get(name, 0) for told in servers) / MB for name in ("used_memory", "maxmemory"))
    aof = "on" if all(told.get("aof_enabled") for told in servers) else "off"
    failed = any(told.get("aof_last_write_status", "ok") != "ok" for told in servers)
    count = f"{len(servers)} servers, " if len(servers) > 1 else ""
    most = f" of {limit:.1f}" if limit else ""
    return f"{count}{used:.1f}{most} MB used, append-only file {aof}{', ITS LAST WRITE FAILED' if failed else ''}"


def _alert(overview: Overview) -> str:
    alert = overview.last_alert
    return f"{span(max(overview.now - alert.at, 0))} ago, {alert.rule} {alert.metric}" if alert else "none in a week"


def _todo(problems: Sequence[Finding]) -> list[str]:
    if not problems:
        return ["", "All is well."]
    lines = ["", f"{len(problems)} problems:" if len(problems) > 1 else "1 problem:"]
    for found in problems[:SHOWN]:
        lines += textwrap.wrap(f"! {found.check}: {plain(found.text)}", WIDTH, subsequent_indent="  ")
        lines += textwrap.wrap(plain(found.advice), WIDTH, initial_indent="  -> ", subsequent_indent="     ")
    if problems[SHOWN:]:
        lines.append(f"and {len(problems) - SHOWN} more: python -m tracker doctor")
    return lines


def _few(lines: list[str]) -> list[str]:
    """The first SHOWN lines, and how many others there are."""
    left = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"  and {left} more"] if left > 0 else [])]


def _line(text: str) -> str:
    return _cut(plain(text).rstrip(), WIDTH)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _end(text: str, most: int) -> str:
    """The end of a name tells pods apart."""
    return text if len(text) <= most else f"...{text[3 - most :]}"


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
