"""Checks of the store's servers, by what they tell of themselves (INFO)."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tracker.doctor.findings import Finding, ok, problem, unknown
from tracker.doctor.overview import Overview
from tracker.redis_address import parse
from tracker.store import suitable

#: Part of its memory limit that a server may use.
FULL = 0.9
MB = 1e6
#: What INFO says of a server's writes to its disk.
WRITES = {
    "aof_last_write_status": "its last write to the append-only file",
    "aof_last_bgrewrite_status": "its last rewrite of the append-only file",
    "rdb_last_bgsave_status": "its last snapshot",
}


class Check(NamedTuple):
    """fault: what is wrong with a server that told this, empty if nothing is; fine: what is said of a good one."""

    name: str
    fault: Callable[[dict[str, Any]], str]
    advice: str
    fine: str


def _risk(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda told: suitable.RISKS[name] if name in suitable.risks(told) else ""


def _failed_write(told: dict[str, Any]) -> str:
    failed = [what for name, what in WRITES.items() if told.get(name, "ok") != "ok"]
    return f"{failed[0]} failed" if failed else ""


def _full(told: dict[str, Any]) -> str:
    used, limit = told["used_memory"], told.get("maxmemory", 0)
    full = limit and used > FULL * limit
    return f"it uses {used / MB:.1f} of {limit / MB:.1f} MB, and refuses writes when it is full" if full else ""


CHECKS = (
    Check(
        "eviction", _risk("maxmemory_policy"),
        "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration file", "it drops no data",
    ),
    Check(
        "append-only file", _risk("aof_enabled"),
        "redis-cli CONFIG SET appendonly yes, and the same in its configuration file", "it writes one",
    ),
    Check(
        "store's disk", _failed_write,
        "make room on its disk, its log says more; then see docs/data.md, 'When the disk was full'",
        "its last writes succeeded",
    ),
    Check(
        "store's memory", _full,
        "give it a higher maxmemory, or track fewer markets (TOP, QUOTES, PAIRS)", "it has room",
    ),
)  # fmt: skip


def check(overview: Overview) -> Iterator[Finding]:
    """Whether each server can be the store, and keeps what it is given."""
    address = parse(overview.settings.redis_url)
    if not overview.servers:
        yield unknown("store", overview.unasked)
        return
    fit = Check("store", lambda told: _unfit(told, address.kind), "set REDIS_URL to another server", "it answers")
    for each in (fit, *CHECKS):
        faults = [(told, fault) for told in overview.servers if (fault := each.fault(told))]
        if faults:
            told, fault = faults[0]
            port = f" (port {told['tcp_port']})" if len(overview.servers) > 1 else ""
            yield problem(each.name, f"{address.shown}{port}: {fault}", each.advice)
        else:
            yield ok(each.name, f"{address.shown}: {each.fine}")


def _unfit(told: dict[str, Any], kind: str) -> str:
    expected = suitable.unusable(told, kind)
    return f"expected {expected}" if expected else ""
