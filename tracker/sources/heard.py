"""What a source said to a refresh that its budget interrupted: the next try asks only for the rest.

A catalogue may take several requests, and a budget may pay for one at a time. A try that began anew would spend the
budget on the first request each time, and never come to the second. In Redis: ``dt1:heard:{source}``.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from redis import Redis

from tracker.errors import MustWait, SourceError
from tracker.store.connection import PREFIX
from tracker.store.raw import RawPipeline

#: Bytes of answers, unpacked, that are kept at most.
LARGEST = 32_000_000
#: Seconds: a budget may take a day to pay for the next request.
LIFE = 2 * 86_400

_answers: ContextVar[dict[str, bytes] | None] = ContextVar("answers", default=None)


@contextmanager
def kept(redis: Redis, source: str) -> Iterator[None]:
    """Requests to ``source`` in here are answered by what it said to an earlier try that ended in MustWait, if any.

    Ends as its body does; may raise StoreError.
    """
    key, line = f"{PREFIX}:heard:{source}", RawPipeline.of(redis)
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
        line.ask([("DEL", key)])  # what was said may be what is wrong
        raise
    finally:
        _answers.reset(token)
    line.ask([("DEL", key)])


def is_kept() -> bool:
    """Whether answers are kept now: outside of a refresh nothing is to be named."""
    return _answers.get() is not None


def recall(request: str) -> bytes | None:
    """The body that answered ``request`` before."""
    return (_answers.get() or {}).get(request)


def note(request: str, body: bytes) -> None:
    """Keeps the body that answers ``request``, in case that a later one must wait."""
    answers = _answers.get()
    if answers is not None and sum(map(len, answers.values())) + len(body) <= LARGEST:
        answers[request] = body
