"""The cache in front of Flask: each answer is rendered once and compressed once for all readers.

A resource allows it with ``keep``. Each process keeps its own answers, by path, query (parameters in any order) and
media type. A kept answer is served while both of these hold:

- The window has not moved, because the slot has not ended.
- The store's *version* of the data is the one that the answer was rendered from. The slot is not enough, because each
  fetch changes the value of the slot in progress. The version of metrics is their stored summaries: each evaluation
  writes them with a new time. The version of a list is a counter that each evaluation and each new watch list
  raises. A process asks for the version of an answer at most once in UNASKED seconds. So popular answers cost the store
  almost nothing, and they are at most that much behind.

While the store is away, a kept answer is served for at most STALE seconds, marked stale.

While one request renews an answer, other requests get the previous one. ETags are strong: a digest of the bytes, and
their coding. Cache-Control lets clients keep an answer until the next change is due, which is the end of the slot or
the next tick, whichever comes first. It allows a second at least, because caches store nothing that expires at once.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import request

from api.serving.answer import CSV, JSON, UNASKED, Answer, CachePolicy, Rendered, best_type
from tracker import counts
from tracker.errors import StoreError
from tracker.settings import Settings
from tracker.store.series import Store

#: Seconds for which an answer is served while the store is away, marked stale.
STALE = 300
#: Seconds for which a cache in front may serve an outdated answer while it fetches the new one.
MEANWHILE = 2
KEEP = "tracker.keep"
#: Found once, because finding one takes half of the time of counting.
COUNTS = {result: counts.CACHED.labels(result) for result in ("hit", "miss", "stale")}
Key = tuple[str, str, str]
#: Answers a (path, query, media type) without the app; None if it cannot.
Fast = Callable[[str, str, str], Rendered | None]


def keep(of: CachePolicy) -> None:
    """Allows the cache to keep the answer to the current request."""
    request.environ[KEEP] = of


class ByteLRU:
    """Answers by key, at most ``capacity`` bytes. The least recently read leave first."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.used = 0
        self._answers: OrderedDict[Key, tuple[Answer, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Answer | None:
        with self._lock:
            if key not in self._answers:
                return None
            self._answers.move_to_end(key)
            return self._answers[key][0]

    def put(self, key: Key, answer: Answer) -> Answer:
        """Keeps ``answer``, or updates its size. An answer larger than an eighth of ``capacity`` is not kept.

        Returns ``answer``, or the kept one that it yields to: so nobody gets older data than somebody before.
        """
        size = answer.size
        with self._lock:
            if key in self._answers and answer.yields_to(self._answers[key][0]):
                return self._answers[key][0]
            self.used -= self._answers.pop(key, (None, 0))[1]
            if size > self.capacity // 8:
                return answer
            self._answers[key] = answer, size
            self.used += size
            while self.used > self.capacity:
                self.used -= self._answers.popitem(last=False)[1][1]
        return answer

    def drop(self, key: Key) -> None:
        with self._lock:
            self.used -= self._answers.pop(key, (None, 0))[1]


class Cached:
    """WSGI middleware: keeps the answers of ``app`` to GET, compresses them, and adds ETags.

    ``fast`` is tried before ``app``. ``alias``: (a prefix of paths, the prefix that it stands for).
    """

    def __init__(self, app: WSGIApplication, fast: Fast, settings: Settings, store: Store, alias: tuple[str, str]):
        self.app = app
        self.fast = fast
        self.settings = settings
        self.store = store
        self.alias = alias
        self.scope = "public" if settings.api_reads == "open" else "private"
        self.interval = min(map(settings.intervals.of, settings.sources))
        self.kept = ByteLRU(settings.api_cache_mb * 1_000_000)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self.app(environ, start_response)
        key = self._key(environ)
        known = self.kept.get(key)
        if known and self._serves(known):
            COUNTS["hit"].inc()
            return self._send(key, known, environ, start_response)
        status, headers, body, keep = self._render(key, environ)
        if status.startswith("503") and known and self._is_young(known):
            known.failed = True
            COUNTS["stale"].inc()
            return self._send(key, known, environ, start_response)
        if keep:
            COUNTS["miss"].inc()
        type = dict(headers).get("Content-Type", "")
        if not status.startswith("200") or type not in (JSON, CSV):
            self.kept.drop(key)
            start_response(status, headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        return self._send(key, self._answer(body, type, keep), environ, start_response)

    def _render(
        self, key: Key, environ: WSGIEnvironment
    ) -> tuple[str, list[tuple[str, str]], bytes, CachePolicy | None]:
        """The status, header fields, body and policy of the answer to GET. Without a policy it is not kept."""
        if rendered := self.fast(*key):
            return "200 OK", [("Content-Type", JSON)], *rendered
        inner = environ | {"REQUEST_METHOD": "GET"} if environ["REQUEST_METHOD"] == "HEAD" else environ
        return *_call(self.app, inner), inner.get(KEEP)

    def _key(self, environ: WSGIEnvironment) -> Key:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        alias, stands_for = self.alias
        if path.startswith(alias):
            path = stands_for + path[len(alias) :]
        if "&" in query:
            query = "&".join(sorted(query.split("&")))
        return path, query, best_type(environ.get("HTTP_ACCEPT", ""))

    def _serves(self, known: Answer) -> bool:
        """Whether to serve the kept answer, as it is or marked stale. If not, the caller renders a new one."""
        now, moved = time.monotonic(), self.settings.clock.now() >= known.slot_end
        if not moved and now - known.confirmed < UNASKED:
            return True
        if now - known.renewing < UNASKED and self._is_young(known):
            return True
        known.renewing = now
        assert known.keep
        try:
            if moved or self.store.version(known.keep.metrics) != known.keep.version:
                return False
        except StoreError:
            known.failed = True
            return self._is_young(known)
        known.confirmed, known.renewing, known.failed = now, -math.inf, False
        return True

    def _is_young(self, known: Answer) -> bool:
        return time.monotonic() - known.confirmed < STALE

    def _answer(self, body: bytes, type: str, keep: CachePolicy | None) -> Answer:
        if keep is None:
            return Answer(body, type)
        slot_end = self.store.ring.slot(keep.now) + self.store.ring.step
        # orjson leaves up to as much memory again unused after its bytes. A copy takes only what ByteLRU counts.
        body = bytes(memoryview(body))
        return Answer(body, type, keep, min(slot_end, self._due(keep.now, keep.evaluated)), slot_end)

    def _due(self, now: float, evaluated: float) -> float:
        """When the next evaluation is due: after the next tick, or at once if that of the last tick is not in yet.

        A tick comes a tenth of an interval after the interval begins, see celeryconfig.EachInterval.
        """
        interval = self.interval
        tick = (now - interval / 10) // interval * interval + interval / 10
        return tick + interval if evaluated >= tick else now + 1

    def _send(self, key: Key, answer: Answer, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        codings = len(answer.codings)
        body, etag, headers = answer.coded(environ.get("HTTP_ACCEPT_ENCODING", ""))
        if len(answer.codings) > codings and answer.keep:
            kept = self.kept.put(key, answer)
            if kept is not answer:
                return self._send(key, kept, environ, start_response)
        common = [("ETag", etag), ("Vary", "Accept, Accept-Encoding"), *self._freshness(answer)]
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and (etag in known or known == "*"):
            start_response("304 Not Modified", common)
            return []
        start_response("200 OK", [*headers, *common])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _freshness(self, answer: Answer) -> list[tuple[str, str]]:
        if answer.failed:
            age = int(time.monotonic() - answer.confirmed)
            return [("Cache-Control", "no-cache"), ("Age", str(age)), ("Warning", '110 - "Response is Stale"')]
        clock = self.settings.clock
        now = clock.now()
        if answer.keep is None or now >= answer.slot_end:
            return [("Cache-Control", "no-cache")]
        left = max(1, int((answer.until - now) / (clock.speed or 1)))
        beyond = f"stale-while-revalidate={MEANWHILE}, stale-if-error={STALE}"
        return [("Cache-Control", f"{self.scope}, max-age={left}, {beyond}")]


def _call(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
    """The status, header fields and body of an app's answer."""
    began: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        began[:] = status, headers
        return lambda written: None

    parts = app(environ, start_response)
    try:
        return began[0], began[1], b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
