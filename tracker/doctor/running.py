"""Checks of the parts that run, by their heartbeats."""

from collections.abc import Iterator

from tracker.doctor.findings import Finding, ok, problem, span
from tracker.doctor.overview import Overview
from tracker.store.parts import LIFE, Seen
from tracker.store.skew import TOLERATED
from tracker.worker.alive import LACKS

#: Queue -> what does not happen while no worker takes its tasks.
QUEUES = {
    "fetch": "no data comes in",
    "evaluate": "there are no new ranks and alerts",
    "notify": "no notice is sent",
}
SET_CLOCK = "set that machine's clock, e.g. timedatectl set-ntp true"
#: So many names are in a line.
SHOWN = 3


def check(overview: Overview) -> Iterator[Finding]:
    working = [part for part in overview.parts if part.state == "working"]
    yield from _queues(working)
    yield from _beat(working)
    yield from _at_work(overview.parts)
    yield from _clocks(overview)
    yield from _versions(overview.parts)


def _queues(working: list[Seen]) -> Iterator[Finding]:
    taken = {queue for part in working for queue in part.queues}
    for queue, lacks in QUEUES.items():
        if queue not in taken:
            yield problem(
                "workers", f"none takes from {queue}: {lacks}", f"start one: python -m tracker worker {queue}"
            )
    if taken >= QUEUES.keys():
        yield ok("workers", "each queue has one")


def _beat(working: list[Seen]) -> Iterator[Finding]:
    beats = sum(part.kind == "beat" for part in working)
    if beats:
        yield ok("beat", f"{beats} at work")
    else:
        yield problem("beat", "none sends ticks: nothing is fetched", "start one: python -m tracker beat")


def _at_work(parts: list[Seen]) -> Iterator[Finding]:
    faults = [part for part in parts if part.state != "working"]
    for part in faults:
        if part.state == "silent":
            fault = f"{name(part)} has been silent for {span(part.age)}"
            advice = (
                f"start it again, or see its log there: it was killed, hangs, or does not reach the store "
                f"(it is forgotten after {span(LIFE)})"
            )
        else:
            fault = f"{name(part)} {LACKS.get(part.kind, 'does nothing')} for {span(part.idle + part.age)}"
            advice = "its broker is away, or the process hangs: see its log there, and restart it"
        yield problem("parts", fault, advice)
    if parts and not faults:
        yield ok("parts", f"{sum(part.state == 'working' for part in parts)} at work")


def _clocks(overview: Overview) -> Iterator[Finding]:
    hosts = {part.host: part.ahead for part in sorted(overview.parts, key=lambda part: -part.age)}
    wrong = {host: ahead for host, ahead in hosts.items() if abs(ahead) > TOLERATED}
    for host, ahead in wrong.items():
        yield problem("clocks", f"that of {host} is {off(ahead)} the store's", SET_CLOCK)
    if abs(overview.ahead) > TOLERATED:
        yield problem("clocks", f"that of this machine is {off(overview.ahead)} the store's", SET_CLOCK)
    elif not wrong:
        yield ok("clocks", "all agree with the store's")


def off(ahead: float) -> str:
    return f"{span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'}"


def _versions(parts: list[Seen]) -> Iterator[Finding]:
    found: dict[str, list[str]] = {}
    for part in parts:
        found.setdefault(part.version, []).append(name(part))
    if len(found) > 1:
        text = "; ".join(f"{version}: {_few(names)}" for version, names in sorted(found.items()))
        yield problem("versions", f"they differ: {text}", "update and restart those that are behind")
    elif found:
        yield ok("versions", f"all parts are of {next(iter(found))}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")


def name(part: Seen) -> str:
    """What people call it, e.g. ``worker fetch@host (pid 12)``."""
    return f"{part.kind} {part.name}@{part.host} (pid {part.pid})"
