"""What the doctor finds, by its checks, and a tracker in which all is well."""

import time
from dataclasses import replace

from redis import Redis

from tests.support.servers import free_port
from tracker.doctor import examine
from tracker.doctor.findings import Finding
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.store import parts, queues
from tracker.store.parts import Part
from tracker.store.series import Store


def examined(**variables: str) -> dict[str, list[Finding]]:
    """Check -> its findings, with these settings. The ports of this machine are free unless they are among them."""
    ports = {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT", "METRICS_PORT")}
    found: dict[str, list[Finding]] = {}
    for each in examine(load(ports | variables)):
        assert bool(each.advice) == (each.state == "problem"), each
        found.setdefault(each.check, []).append(each)
    return found


def states(found: dict[str, list[Finding]]) -> dict[str, str]:
    """Check -> the state of its findings, if they agree."""
    return {check: {each.state for each in all}.pop() for check, all in found.items()}


def problems(found: dict[str, list[Finding]]) -> dict[str, list[str]]:
    """Check -> the texts of its problems."""
    return {
        check: [each.text for each in all]
        for check, all in found.items()
        if any(each.state == "problem" for each in all)
    }


def part(kind: str, name: str, *queues: str, **told: object) -> Part:
    known: dict = {"pid": abs(hash(name)) % 90_000} | told
    return replace(parts.this(kind, name, queues, time.time() - 100, 0), **known)


def well(redis: Redis) -> None:
    """Stores what working parts would have stored."""
    for each in (part("worker", "all", "fetch", "evaluate", "notify"), part("beat", "beat"), part("api", "api")):
        parts.write(redis, each)
    Store(redis, Ring()).note("simulator", last_success=time.time())
    queues.note_lengths(redis, {"fetch": 0, "evaluate": 0, "notify": 0}, time.time())
