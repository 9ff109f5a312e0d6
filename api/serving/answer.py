"""A rendered answer: its bytes in every coding that a client accepted, with their header fields.

Where each header of an answer is set: Content-Type and Content-Encoding here; ETag, Vary, Cache-Control and Age in
cache.py; security and CORS in access.py; RateLimit-* in limits.py; Retry-After in access.py and problems.py.
"""

import gzip
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Self

import orjson
import xxhash
from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

from api.serving import zstd
from tracker.models import Metric
from tracker.store.series import View

JSON, CSV = "application/json", "text/csv; charset=utf-8"
#: Codings, the preferred one first.
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstd.compress(body, 3),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}
#: Answers below this many bytes are not worth compressing.
SMALL = 1_000


class CachePolicy(NamedTuple):
    """What the cache must know to keep an answer.

    metrics: the metrics that it shows, () for all. version: the store's version of these. evaluated: their oldest
    evaluation, Unix seconds. now: the time of the window that it shows, Unix seconds.
    """

    metrics: tuple[Metric, ...]
    version: bytes
    evaluated: float
    now: float

    @classmethod
    def of(cls, view: View, metrics: Sequence[Metric], now: float) -> Self:
        """The policy of an answer that shows ``view``, a view of ``metrics``."""
        evaluated = [standing.summary.at for standing in view.standings if standing]
        return cls(tuple(metrics), view.version, min(evaluated, default=0.0), now)

    def is_before(self, other: "CachePolicy") -> bool:
        """Whether ``other``, of the same metrics, shows newer data."""
        if not self.metrics:
            return int(self.version or 0) < int(other.version or 0)
        return 0 < self.evaluated < other.evaluated


class Coded(NamedTuple):
    body: bytes
    etag: str
    headers: list[tuple[str, str]]


@dataclass
class Answer:
    """An answer of a resource at one moment.

    Unix seconds of the tracker's clock: ``until``, when its next change is due; ``slot_end``, when its window moves.
    Seconds of ``time.monotonic``: ``confirmed``, when it was last known to be current; ``renewing``, when a request
    last began to ask the store about it. ``failed``: the store did not answer.
    """

    body: bytes
    type: str
    keep: CachePolicy | None = None
    until: float = 0.0
    slot_end: float = 0.0
    confirmed: float = field(default_factory=time.monotonic)
    renewing: float = -math.inf
    failed: bool = False
    codings: dict[str, Coded] = field(default_factory=dict)

    def coded(self, accepted: str) -> Coded:
        """The answer in the best coding that the Accept-Encoding header ``accepted`` allows."""
        coding = best_coding(accepted) if len(self.body) >= SMALL else ""
        if coding not in self.codings:
            self.codings[coding] = self._code(coding)
        return self.codings[coding]

    def yields_to(self, kept: "Answer") -> bool:
        """Whether ``kept`` stays in the cache: it was put there meanwhile, and shows the same data or newer data."""
        if kept is self or not kept.keep or not self.keep:
            return False
        if self.slot_end != kept.slot_end:
            return self.slot_end < kept.slot_end
        same = self.keep.version == kept.keep.version
        return not kept.failed if same else self.keep.is_before(kept.keep)

    def _code(self, coding: str) -> Coded:
        body = COMPRESS[coding](self.body) if coding else self.body
        digest = xxhash.xxh3_128_hexdigest(self.body)
        etag = f'"{digest}{coding and f"-{coding}"}"'  # strong: other bytes in each coding
        headers = [("Content-Type", self.type), ("Content-Length", str(len(body)))]
        return Coded(body, etag, [*headers, ("Content-Encoding", coding)] if coding else headers)

    @property
    def size(self) -> int:
        """About how many bytes of memory the answer takes."""
        return 2_000 + len(self.body) + sum(len(coded.body) for name, coded in list(self.codings.items()) if name)


def dumps(document: Any) -> bytes:
    """JSON with floats in full precision, numpy arrays as arrays, and NaN as null."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


@lru_cache(1_000)
def best_coding(accepted: str) -> str:
    """The best coding that the Accept-Encoding header ``accepted`` allows, "" for none."""
    qualities = parse_accept_header(accepted, Accept)
    best = max(COMPRESS, key=lambda coding: qualities[coding])
    return best if qualities[best] > 0 else ""


@lru_cache(1_000)
def best_type(accepted: str) -> str:
    """The best media type that the Accept header ``accepted`` allows: CSV or JSON; JSON if it allows neither."""
    best = parse_accept_header(accepted, MIMEAccept).best_match([JSON, "text/csv"]) if accepted else JSON
    return CSV if best == "text/csv" else JSON


#: Seconds for which a process trusts its table and its kept answers before it asks the store for their version again.
UNASKED = 1.0


class Rendered(NamedTuple):
    """A body, JSON or CSV, and its policy."""

    body: bytes
    keep: CachePolicy
