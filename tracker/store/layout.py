"""How series, ranks and statuses lie in Redis: the keys, how values are packed, and the commands for them.

Keys (docs/data.md says more of each):
``dt1:ring:{market}`` string, see ring.py; ``{dt1}:rank:{field}`` sorted set, metric -> stddev; ``{dt1}:cv:{field}``
sorted set, metric -> coefficient of variation; ``{dt1}:summary:{field}`` hash, metric -> packed Summary;
``{dt1}:version`` integer, how often summaries or watch lists were written; ``{dt1}:markets:{source}`` hash, market ->
base/quote; ``{dt1}:tick:{source}:{slot}`` string, the task that claimed the tick; ``{dt1}:status:{source}`` hash;
``{dt1}:asked:{source}``, ``{dt1}:answered:{source}`` sorted sets, market -> time of its last request, its last answer.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import Any

import numpy as np

from tracker.models import Market, Metric, Rank, Standing, Summary
from tracker.store.connection import PREFIX, RINGS
from tracker.store.raw import Command

VERSION = f"{PREFIX}:version"
#: Keys of what no exchange gives back. Their modules write them (api_keys.py, alerts/), and repairs.py counts them.
API_KEYS, ALERTS, SILENCES, RULES, DUE = (f"{PREFIX}:{name}" for name in ("keys", "alerts", "silences", "rules", "due"))
#: A Summary as it is stored: its fields in order, little-endian, packed. One of another size is of another version.
CODES = {name: "q" if name == "slot" else "d" for name in Summary._fields}
SUMMARY = np.dtype([(name, f"<{code}") for name, code in CODES.items()])
PACKED = Struct("<" + "".join(CODES.values()))
NUMBERS = [name for name in Summary._fields if name not in ("slot", "at")]


def scored(key: str, members: Sequence[str], scores: Sequence[float]) -> list[Command]:
    """Sets the scores of ``members`` in the sorted set at ``key``. A member whose score is NaN leaves it."""
    gone = [member for member, score in zip(members, scores, strict=True) if score != score]
    present = flat(pair for pair in zip(scores, members, strict=True) if pair[0] == pair[0])
    return unless_empty(("ZADD", key), present) + unless_empty(("ZREM", key), gone)


def hashed(key: str, names: Sequence[str], values: Sequence[bytes | None]) -> list[Command]:
    """Sets the values of ``names`` in the hash at ``key``. A name whose value is None leaves it."""
    gone = [name for name, value in zip(names, values, strict=True) if value is None]
    present = flat(pair for pair in zip(names, values, strict=True) if pair[1] is not None)
    return unless_empty(("HSET", key), present) + unless_empty(("HDEL", key), gone)


def unless_empty(command: Command, arguments: Sequence[Any]) -> list[Command]:
    return [(*command, *arguments)] if arguments else []


def flat(pairs: Iterable[tuple[Any, ...]]) -> list[Any]:
    return list(chain.from_iterable(pairs))


#: Number of commands that a standing takes.
STANDING = 5


def ask_standing(metric: Metric) -> list[Command]:
    id, rank, cv = metric.id, rank_key(metric.field), cv_key(metric.field)
    return [("HGET", summary_key(metric.field), id), ("ZREVRANK", rank, id), ("ZCARD", rank),
            ("ZREVRANK", cv, id), ("ZCARD", cv)]  # fmt: skip


def standing_of(replies: Sequence[Any]) -> Standing | None:
    raw, above, count, cv_above, cv_count = replies
    if not readable(raw) or above is None:
        return None
    summary = Summary(*PACKED.unpack(raw))
    return Standing(summary, Rank(above + 1, count), None if cv_above is None else Rank(cv_above + 1, cv_count))


def joined(summaries: Iterable[bytes | None]) -> bytes:
    return b"/".join([raw or b"" for raw in summaries])


def readable(raw: bytes | None) -> bool:
    """Whether ``raw`` is a summary of this version. The next evaluation replaces a summary of another version."""
    return raw is not None and len(raw) == SUMMARY.itemsize


def first_market(id: str, pairs: Iterable[bytes | None]) -> Market | None:
    for pair in pairs:
        if pair is not None:
            return market_of((id.encode(), pair))
    return None


@lru_cache(100_000)  # each is asked for again and again
def market_of(stored: tuple[bytes, bytes]) -> Market:
    id, listed = stored
    pair, _, name = listed.decode().partition(" ")
    base, _, quote = pair.partition("/")
    return Market(id.decode(), base, quote, name)


def ring_key(market: str) -> str:
    return f"{RINGS}{market}"


def rank_key(field: str) -> str:
    return f"{PREFIX}:rank:{field}"


def cv_key(field: str) -> str:
    return f"{PREFIX}:cv:{field}"


def summary_key(field: str) -> str:
    return f"{PREFIX}:summary:{field}"


def markets_key(source: str) -> str:
    return f"{PREFIX}:markets:{source}"


def status_key(source: str) -> str:
    return f"{PREFIX}:status:{source}"


def asked_key(source: str) -> str:
    return f"{PREFIX}:asked:{source}"


def answered_key(source: str) -> str:
    return f"{PREFIX}:answered:{source}"


def answer_noted(source: str, markets: Sequence[str], now: float, newest: int | None) -> list[Command]:
    """Notes that ``source`` answered for ``markets``, up to the slot ``newest`` (None: without a slot)."""
    times = flat((now, market) for market in markets)
    said = ["last_success", f"{now:.3f}", *(() if newest is None else ("newest_slot", newest))]
    return [
        *unless_empty(("ZADD", asked_key(source)), times),
        *unless_empty(("ZADD", answered_key(source)), times),
        ("HSET", status_key(source), *said),
    ]
