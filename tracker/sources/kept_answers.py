"""Keeps the answers of a catalogue refresh that the budget interrupted, so that the next try asks only for the rest.

A catalogue may take several requests, and a small budget may pay for one at a time. Without this, each try would spend
the budget on the first request again and never reach the second. In Redis: hash ``{dt1}:heard:{source}``,
request -> body.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from redis import Redis

from tracker.errors import MustWait, SourceError
from tracker.store.connection import PREFIX
from tracker.store.pipelines import pipeline

#: Most bytes of unpacked answers that are kept.
LARGEST = 32_000_000
#: Seconds that answers are kept. A budget may take a day to pay for the next request.
LIFE = 2 * 86_400

_answers: ContextVar[dict[str, bytes] | None] = ContextVar("answers", default=None)


@contextmanager
def kept(redis: Redis, source: str) -> Iterator[None]:
    """Inside this context, requests to ``source`` use the answers that an earlier, interrupted try has kept.

    MustWait keeps the new answers for the next try; success or SourceError deletes all. May raise StoreError.
    """
    key, line = f"{PREFIX}:heard:{source}", pipeline(redis)
    [stored] = line.ask([("HGETALL", key)])
    answers = {request.decode(): zlib.decompress(body) for request, body in stored.items()}
    token = _answers.set(answers)
    try:
        yield
    except MustWait:
        new = [(request, zlib.compress(body, 1)) for request, body in answers.items() if request.encode() not in stored]
        if new:
            line.ask([*(("HSET", key, request, body) for request, body in new), ("EXPIRE", key, LIFE)])
        raise
    except SourceError:
        line.ask([("DEL", key)])  # a kept answer may be the cause
        raise
    finally:
        _answers.reset(token)
    line.ask([("DEL", key)])


def is_kept() -> bool:
    """Whether the caller is inside ``kept``. Elsewhere requests need no key."""
    return _answers.get() is not None


def recall(request: str) -> bytes | None:
    """The kept body of the answer to ``request``, None if there is none."""
    return (_answers.get() or {}).get(request)


def note(request: str, body: bytes) -> None:
    """Keeps the body of the answer to ``request``, in case a later request must wait."""
    answers = _answers.get()
    if answers is not None and sum(map(len, answers.values())) + len(body) <= LARGEST:
        answers[request] = body
