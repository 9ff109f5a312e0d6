"""Checks of the work: whether data comes in, tasks are done and notices are sent."""

from collections.abc import Iterator

from tracker.doctor.findings import Finding, ok, problem, span, unknown
from tracker.doctor.overview import Overview
from tracker.doctor.running import off
from tracker.store.freshness import late

#: Seconds that a task may wait in its queue, and those after which a count of the queues is too old to tell.
BACKLOG, COUNTED = 60, 60
#: Seconds by which the clock of a source may differ. Its answers tell it in whole seconds, and take a while.
SOURCE_OFF = 5
#: Seconds after which a round of the canary should have passed: it begins one every minute.
CANARY = 180


def check(overview: Overview) -> Iterator[Finding]:
    yield from _sources(overview)
    yield from _source_clocks(overview)
    yield from _backlog(overview)
    yield from _notices(overview)
    yield from _refused(overview)
    yield from _canary(overview)


def _sources(overview: Overview) -> Iterator[Finding]:
    faults = 0
    for source in overview.sources:
        fresh = overview.fresh[source.name]
        advice = f"python -m tracker sources check {source.name}"
        if source.state in ("down", "blocked"):
            yield problem("sources", f"{source.name} is {source.state}: {source.reason}", advice)
        elif fresh.state == "late":
            text = ", ".join(late({source.name: fresh}))
            yield problem("sources", text, f"start or check beat and the workers of fetch; then {advice}")
        else:
            continue
        faults += 1
    if not faults:
        others = [f"{each.name} is {each.state}: {each.reason}" for each in overview.sources if each.state != "ok"]
        yield ok("sources", "; ".join(others) or "all give data in time")


def _source_clocks(overview: Overview) -> Iterator[Finding]:
    skews = {each.name: each.clock_skew for each in overview.sources if each.clock_skew is not None}
    wrong = {name: skew for name, skew in skews.items() if abs(skew) > SOURCE_OFF}
    for name, skew in wrong.items():
        advice = "if other sources say the same, set the clock of the store's machine: timedatectl set-ntp true"
        yield problem("sources' clocks", f"that of {name} is {off(skew)} ours", advice)
    if not wrong:
        yield ok("sources' clocks", "all agree with ours")


def _backlog(overview: Overview) -> Iterator[Finding]:
    seen, waiting = overview.queues
    if seen is None or seen > COUNTED:
        yield unknown("backlog", "no beat has counted the tasks lately")
        return
    late = {queue: each for queue, each in waiting.items() if each.age > BACKLOG}
    for queue, each in late.items():
        yield problem(
            "backlog",
            f"{each.length:,} tasks wait in {queue}, the oldest for up to {span(each.age)}",
            f"start more workers: python -m tracker worker {queue} (docs/scaling.md)",
        )
    if not late:
        yield ok("backlog", f"{sum(each.length for each in waiting.values()):,} tasks wait")


def _notices(overview: Overview) -> Iterator[Finding]:
    if overview.dead:
        yield problem(
            "notices",
            f"{overview.dead:,} were given up",
            "python -m tracker deliveries list says why; deliveries redrive sends them again",
        )
    else:
        yield ok("notices", f"{overview.pending:,} are on their way or to come, none was given up")


def _refused(overview: Overview) -> Iterator[Finding]:
    if overview.refused:
        yield problem(
            "refused messages",
            f"{overview.refused:,} are kept that no worker could take",
            "python -m tracker refused list says why; refused clear forgets them",
        )
    else:
        yield ok("refused messages", "none")


def _canary(overview: Overview) -> Iterator[Finding]:
    if not overview.settings.heartbeat_url:
        return  # it is off
    age = overview.canary
    if age is not None and age <= CANARY:
        yield ok("canary", f"a round passed {span(age)} ago")
    else:
        since = "yet" if age is None else f"for {span(age)}"
        yield problem("canary", f"no round has passed {since}", "docs/operations.md, 'A canary', says where to look")
