"""Silences: matching alerts are recorded, but nobody is told of them before the silence ends.

``{dt1}:silences`` hash, id -> a silence as JSON; ``{dt1}:quiet`` string, the quiet hours in force as a JSON list of
silences. The quiet hours themselves are in the rules file, see quiet.py: the string only tells them to the API.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from secrets import token_hex
from typing import Any

from redis import Redis

from tracker.alerts.rules import SEVERITIES
from tracker.alerts.tables import Expected
from tracker.errors import TooMany
from tracker.models import Alert, matches
from tracker.store.connection import PREFIX, transact, translated
from tracker.store.layout import SILENCES

#: At most so many silences at a time: each notice is compared with all of them.
MOST = 200
QUIET = f"{PREFIX}:quiet"
#: Sweeps tell the API of quiet hours every few seconds. After so many seconds without a sweep it does not know them.
TOLD_FOR = 60


@dataclass(frozen=True)
class Silence:
    """match: globs on metric ids; rule: globs on names of rules; until: Unix seconds; by, reason: texts for people."""

    id: str
    match: tuple[str, ...]
    until: float
    reason: str
    by: str = ""
    rule: tuple[str, ...] = ("*",)
    severity: tuple[str, ...] = SEVERITIES

    def covers(self, alert: Alert) -> bool:
        """Whether it holds the notices of ``alert`` back."""
        named = matches(self.match, alert.metric) and matches(self.rule, alert.rule)
        return named and alert.severity in self.severity


#: Returns the quiet hours in force at a time, Unix seconds.
QuietAt = Callable[[float], Sequence[Silence]]


class Silences:
    """The silences in force. Every method may raise StoreError; ``now`` is in Unix seconds.

    Without ``quiet`` only the silences in the store are known.
    """

    def __init__(self, redis: Redis, quiet: QuietAt = lambda now: ()):
        self.redis: Any = redis  # as in Store
        self.quiet = quiet

    def add(
        self, match: tuple[str, ...], until: float, reason: str, now: float, by: str = "",
        rule: tuple[str, ...] = ("*",), severity: tuple[str, ...] = SEVERITIES, id: str = "",
    ) -> Silence:  # fmt: skip
        """Adds a silence, or replaces the one of that ``id``; raises TrackerError if there are MOST already."""
        silence = Silence(id or token_hex(6), match, until, reason, by, rule, severity)

        def work(pipe: Any) -> None:
            others = [each for each in _read(pipe.hvals(SILENCES)) if each.until > now and each.id != silence.id]
            if len(others) >= MOST:
                raise TooMany(f"there are {MOST} silences already: remove some, or let one match more")
            pipe.multi()
            pipe.hset(SILENCES, silence.id, json.dumps(asdict(silence)))

        transact(self.redis, work, SILENCES)
        return silence

    def end_at(self, id: str, until: float, now: float) -> Silence | None:
        """Lets the silence last until ``until``, longer or shorter; None if there is none of that id, or it is over."""

        def work(pipe: Any) -> Silence | None:
            known = [each for each in _read([pipe.hget(SILENCES, id)]) if each.until > now]
            pipe.multi()
            changed = [replace(each, until=until) for each in known]
            for each in changed:
                pipe.hset(SILENCES, id, json.dumps(asdict(each)))
            return next(iter(changed), None)

        return transact(self.redis, work, SILENCES)

    def all(self, now: float) -> list[Silence]:
        """The silences and quiet hours in force, the first to end first; removes silences that have ended."""
        with translated():
            stored = _read(self.redis.hvals(SILENCES))
            if ended := [silence.id for silence in stored if silence.until <= now]:
                self.redis.hdel(SILENCES, *ended)
        return _in_force([*stored, *self.quiet(now)], now)

    def tell(self, now: float) -> None:
        """Writes down for ``listed`` which quiet hours are in force."""
        if quiet := [asdict(silence) for silence in self.quiet(now)]:
            with translated():
                self.redis.set(QUIET, json.dumps(quiet), ex=TOLD_FOR)

    def listed(self, now: float) -> list[Silence]:
        """As ``all``, where the rules file is not known: with the quiet hours that a worker has told."""
        with translated():
            quiet = json.loads(self.redis.get(QUIET) or "[]")
        return _in_force([*self.all(now), *map(_silence, quiet)], now)

    def remove(self, id: str) -> bool:
        """Removes the silence; False if there was none of that id."""
        with translated():
            return bool(self.redis.hdel(SILENCES, id))

    def covering(self, alert: Alert, now: float) -> Silence | None:
        """A silence for ``alert``, or None. Of several, the one that ends first."""
        return next((each for each in self.all(now) if each.covers(alert)), None)


def severities(value: Any) -> tuple[str, ...]:
    """Reads one severity, or a list of them."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if not found or any(each not in SEVERITIES for each in found):
        raise Expected(f"one of {', '.join(SEVERITIES)}, or a list of them")
    return tuple(name for name in SEVERITIES if name in found)


def _in_force(silences: Iterable[Silence], now: float) -> list[Silence]:
    return sorted((each for each in silences if each.until > now), key=lambda each: (each.until, each.id))


def _read(stored: Iterable[bytes | None]) -> list[Silence]:
    return [_silence(json.loads(each)) for each in stored if each]


def _silence(known: dict[str, Any]) -> Silence:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return Silence(**values)
