"""Rules that were saved over the API, with their versions, and the rules in force: those of the file and these.

``{dt1}:rules`` hash, name -> the newest version as JSON; ``{dt1}:rules:version`` the number of the newest version of
all; ``{dt1}:rule-versions:{name}`` list, the versions of a rule as JSON, the newest first.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from redis import Redis

from tracker.alerts.rulebook import Rulebook, RuleSet, read_rule
from tracker.alerts.rules import Rule
from tracker.alerts.tables import BadOption
from tracker.errors import TooMany, TrackerError
from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, transact, translated
from tracker.store.layout import RULES

NEWEST, VERSIONS = f"{PREFIX}:rules:version", f"{PREFIX}:rule-versions:"
#: At most so many saved rules, versions of each that are kept, and characters of a rule as JSON.
MOST, MOST_VERSIONS, LONGEST = 200, 50, 20_000
#: Seconds for which the versions of a deleted rule are kept.
KEPT = 30 * DAY
#: Seconds after which a process looks again whether saved rules have changed.
UNASKED = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A version of a saved rule. No two versions, also of different rules, have the same number.

    table: the rule as in the rules file, None if it was deleted then; by: who saved it; at: when, Unix seconds.
    """

    name: str
    version: int
    table: dict[str, Any] | None
    by: str
    at: float


class Outdated(TrackerError):
    """A rule was not saved, because its newest version is not the one that the change was made from."""


class SavedRules:
    """The saved rules. Every method may raise StoreError."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis  # as in Store

    def newest(self) -> int:
        """The number of the newest version of all rules. It changes with each change."""
        with translated():
            return int(self.redis.get(NEWEST) or 0)

    def all(self) -> dict[str, Version]:
        """The saved rules by name, in the order of their names."""
        with translated():
            found = map(_read, self.redis.hvals(RULES))
        return {each.name: each for each in sorted(found, key=lambda each: each.name)}

    def versions(self, name: str) -> list[Version]:
        """The versions of a rule, the newest first. The last version of a deleted rule has no table."""
        with translated():
            return [_read(each) for each in self.redis.lrange(VERSIONS + name, 0, -1)]

    def save(self, name: str, table: Mapping[str, Any] | None, known: int, by: str, now: float) -> Version:
        """Saves a version of a rule; without a ``table`` it deletes the rule.

        ``known``: the number of the version that the change was made from, 0 for a new rule. Raises Outdated if that is
        not the newest one, TooMany if there are MOST rules.
        """
        versions = VERSIONS + name

        def work(pipe: Any) -> Version:
            number = int(pipe.get(NEWEST) or 0) + 1
            last = next(map(_read, pipe.lrange(versions, 0, 0)), None)
            version = Version(name, number, None if table is None else dict(table), by, now)
            if last and replace(version, version=last.version) == last:
                return last  # this very change, done before the connection was lost
            if (last.version if last and last.table is not None else 0) != known:
                raise Outdated(name)
            if not known and pipe.hlen(RULES) >= MOST:
                raise TooMany(f"there are {MOST} saved rules already: delete some")
            text = json.dumps(asdict(version))
            pipe.multi()
            pipe.set(NEWEST, number)
            pipe.lpush(versions, text)
            pipe.ltrim(versions, 0, MOST_VERSIONS - 1)
            if table is None:
                pipe.hdel(RULES, name)
                pipe.expire(versions, KEPT)
            else:
                pipe.hset(RULES, name, text)
                pipe.persist(versions)
            return version

        return transact(self.redis, work, NEWEST)


class RulesInForce:
    """The rules of the file, then the saved ones. Of two with one name that of the file counts."""

    def __init__(self, book: Rulebook, saved: SavedRules):
        self._book, self._saved = book, saved
        self._looked, self._newest = -UNASKED, -1
        self._rules: tuple[Rule, ...] = ()

    def current(self) -> RuleSet:
        """The rules in force. A look costs one GET each UNASKED seconds. Raises StoreError."""
        if time.monotonic() - self._looked >= UNASKED:
            newest = self._saved.newest()
            if newest != self._newest:
                self._rules, self._newest = readable(self._saved.all()), newest
            self._looked = time.monotonic()
        return merged(self._book.current(), self._rules)


def readable(saved: Mapping[str, Version]) -> tuple[Rule, ...]:
    """The saved rules. One that this version of the tracker cannot read is left out, and the log says so."""
    found = []
    for each in saved.values():
        try:
            found.append(read_rule(each.name, each.table or {}))
        except BadOption as bad:
            log.error("THE SAVED RULE %s IS NOT IN FORCE: %s", each.name, bad)
    return tuple(found)


def merged(book: RuleSet, saved: tuple[Rule, ...]) -> RuleSet:
    """The rules of ``book``, then the ``saved`` ones with other names."""
    names = {rule.name for rule in book.rules}
    return replace(book, rules=(*book.rules, *(rule for rule in saved if rule.name not in names)))


def _read(text: bytes) -> Version:
    return Version(**json.loads(text))
