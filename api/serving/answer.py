"""A rendered answer: its bytes in every coding that was asked for, and their header fields. Made once, sent often."""

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
#: Codings, the one we like best first.
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstd.compress(body, 3),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}
#: Answers below this many bytes are not worth compressing.
SMALL = 1_000


class CachePolicy(NamedTuple):
    """What a resource says of an answer that may be kept.

    It shows ``metrics``, or all if none are named, as of ``version``, the store's of these; they were evaluated at
    ``evaluated`` (Unix seconds), the one that waits longest if many. It shows the window of ``now``.
    """

    metrics: tuple[Metric, ...]
    version: bytes
    evaluated: float
    now: float

    @classmethod
    def of(cls, view: View, metrics: Sequence[Metric], now: float) -> Self:
        """For an answer that shows ``view`` of ``metrics``."""
        evaluated = [standing.summary.at for standing in view.standings if standing]
        return cls(tuple(metrics), view.version, min(evaluated, default=0.0), now)


class Coded(NamedTuple):
    body: bytes
    etag: str
    headers: list[tuple[str, str]]


@dataclass
class Answer:
    """Of a resource, at one moment. ``until``: when a change of it is due, Unix seconds of the tracker's clock;
    ``slot_end``: when its window moves, likewise. Its other times are of ``time.monotonic``: ``confirmed``, when it was
    last known to be right; ``renewing``, when somebody began to ask the store about it. ``failed``: in vain."""

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
        """In the best coding of those that an Accept-Encoding header accepts."""
        coding = best_coding(accepted) if len(self.body) >= SMALL else ""
        if coding not in self.codings:
            self.codings[coding] = self._code(coding)
        return self.codings[coding]

    def _code(self, coding: str) -> Coded:
        body = COMPRESS[coding](self.body) if coding else self.body
        digest = xxhash.xxh3_128_hexdigest(self.body)
        etag = f'"{digest}{coding and f"-{coding}"}"'  # strong: other bytes in each coding
        headers = [("Content-Type", self.type), ("Content-Length", str(len(body)))]
        return Coded(body, etag, [*headers, ("Content-Encoding", coding)] if coding else headers)

    @property
    def size(self) -> int:
        """Bytes it holds in memory, about."""
        return 2_000 + len(self.body) + sum(len(coded.body) for name, coded in list(self.codings.items()) if name)


def dumps(document: Any) -> bytes:
    """JSON: floats in full, numpy arrays as they are, NaN as null."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


@lru_cache(1_000)
def best_coding(accepted: str) -> str:
    """The coding to send to whom an Accept-Encoding header comes from, "" for none."""
    qualities = parse_accept_header(accepted, Accept)
    best = max(COMPRESS, key=lambda coding: qualities[coding])
    return best if qualities[best] > 0 else ""


@lru_cache(1_000)
def best_type(accepted: str) -> str:
    """The media type to send to whom an Accept header comes from; JSON to whom neither is acceptable."""
    best = parse_accept_header(accepted, MIMEAccept).best_match([JSON, "text/csv"]) if accepted else JSON
    return CSV if best == "text/csv" else JSON


#: Seconds for which a process does not ask the store again whether its table is the newest.
UNASKED = 1.0


class Rendered(NamedTuple):
    """A body of JSON, and what is said of keeping it."""

    body: bytes
    keep: CachePolicy
