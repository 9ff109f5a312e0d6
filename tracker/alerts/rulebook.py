"""The rules file: reads the rules and channels, checks them, and reads them again when the file changes.

A table ``[rules.NAME]`` has the options of its kind's class in rules/kinds.py. A table ``[channels.NAME]`` has those of
its kind's class under channels/ and of ConfiguredChannel, and a table ``[quiet.NAME]`` those of Quiet. docs/alerts.md
describes them all.
"""

import logging
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tracker.alerts import channels
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.quiet import MOST as MOST_QUIET
from tracker.alerts.quiet import Quiet
from tracker.alerts.rules import DEFAULT_RULES, KINDS, LevelRule, Ranked, Rule, Silent, Stale
from tracker.alerts.tables import NAME, BadOption, Expected, Table, shown
from tracker.errors import SettingsError
from tracker.files import Unreadable, read_text

T = TypeVar("T", bound=Table)
log = logging.getLogger(__name__)

#: So many characters of TOML's own complaint are shown.
SHOWN = 200
#: A name that needs no quotes in TOML. A list's name may have the number of an entry.
BARE = re.compile(r"[A-Za-z0-9_-]{1,64}(\[[0-9]{1,3}\])?")
#: A name with so many parts that TOML's parser would take minutes.
DOTTED = re.compile(r"""(?<![\w"'-])(?:["']?[\w-]{1,1000}["']?[ \t]*\.[ \t]*){100}""")


@dataclass(frozen=True)
class RuleSet:
    """The rules in the order of the file; the channels by name, ``log`` is always one of them; the quiet hours."""

    rules: tuple[Rule, ...]
    outlets: Mapping[str, ConfiguredChannel]
    quiet: tuple[Quiet, ...] = ()

    @property
    def series(self) -> tuple[LevelRule, ...]:
        """The rules on values of metrics."""
        return tuple(rule for rule in self.rules if isinstance(rule, LevelRule))

    @property
    def stale(self) -> tuple[Stale, ...]:
        """The rules on sources."""
        return tuple(rule for rule in self.rules if isinstance(rule, Stale))

    @property
    def silent(self) -> tuple[Silent, ...]:
        """Those rules on values that are also about answers for a market."""
        return tuple(rule for rule in self.rules if isinstance(rule, Silent))

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """The rules on ranks."""
        return tuple(rule for rule in self.rules if isinstance(rule, Ranked))

    @property
    def wants_resolved(self) -> frozenset[str]:
        """The channels that get a notice when an alert is over."""
        return frozenset(name for name, outlet in self.outlets.items() if outlet.resolved)

    @property
    def wants_late(self) -> frozenset[str]:
        """The channels that get a digest of alerts that were found too late."""
        return frozenset(name for name, outlet in self.outlets.items() if outlet.late)


class Rulebook:
    """The rules of the file at ``path``; without a path the built-in ones. Raises SettingsError for a bad file.

    When the file changes later, the new rules are in force from the next look on. While the new file is bad, the old
    rules stay in force, and the log says so.
    """

    def __init__(self, path: str):
        self._path = Path(path) if path else None
        self._seen = self._stamp()
        self._book = read(self._path) if self._path else built_in()

    def current(self) -> RuleSet:
        """The rules in force; a look costs one ``stat``."""
        stamp = self._stamp()
        if self._path and stamp != self._seen:
            self._seen = stamp
            try:
                self._book = read(self._path)
                log.warning("%s has changed: %d rules are in force", self._path, len(self._book.rules))
            except SettingsError as error:
                log.error("THE RULES ARE NOT RELOADED, the old ones stay in force: %s", error)
        return self._book

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def built_in() -> RuleSet:
    """The rule of the mission, with the log as its channel."""
    return RuleSet(DEFAULT_RULES, {"log": _log()})


def read(path: Path, environment: Mapping[str, str] = os.environ) -> RuleSet:
    """The rules of the file at ``path``; raises SettingsError with the line and the option at fault."""
    try:
        source = read_text(path)
    except Unreadable as error:
        raise SettingsError(f"RULES={str(path)!r}: expected a file that can be read: it {error}") from error
    if DOTTED.search(source):
        raise SettingsError(f"{path}: expected TOML with names of a few parts")
    try:
        tables = tomllib.loads(source)
    except RecursionError:
        raise SettingsError(f"{path}: expected TOML with fewer brackets inside one another") from None
    except ValueError as error:
        text = str(error)  # the line number is at its end
        cut = text if len(text) < SHOWN else f"{text[: SHOWN - 60]} ... {text[-40:]}"
        raise SettingsError(f"{path}: expected TOML: {cut}") from error
    return _Reader(path, source, environment).book(tables)


def read_rule(name: str, table: Mapping[str, Any]) -> Rule:
    """The rule ``name`` with the options in ``table``, and its ``kind``; raises BadOption."""
    kind, options = _kind(table, KINDS)
    return KINDS[kind].read(options, _no_secret, name=name)


def check_channels(rule: Rule, outlets: Collection[str]) -> None:
    """Raises BadOption if ``rule`` names a channel that is not in ``outlets``."""
    for option, named in (("channels", rule.channels), ("then", rule.then)):
        if missing := [name for name in named if name not in outlets]:
            raise BadOption(option, repr(missing[0]), f"only channels that there are: {', '.join(outlets)}")


def _kind(table: Mapping[str, Any], kinds: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    """(the kind that ``table`` names, its other options); raises BadOption."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise BadOption("kind", "(missing)" if kind is None else shown(kind), f"one of {', '.join(kinds)}")
    return kind, {option: value for option, value in table.items() if option != "kind"}


def _no_secret(how: str, value: str) -> str:
    raise Expected("no secret: rules have none")


def _log() -> ConfiguredChannel:
    return ConfiguredChannel(name="log", kind="log", channel=channels.kind("log")())


class _Reader:
    """Turns the tables of one file into a RuleSet."""

    def __init__(self, path: Path, source: str, environment: Mapping[str, str]):
        self.path, self.lines, self.environment = path, source.split("\n"), environment

    def book(self, tables: dict[str, Any]) -> RuleSet:
        for name in tables.keys() - {"rules", "channels", "quiet"}:
            self._refuse((name,), "", "only tables [rules.NAME], [channels.NAME] and [quiet.NAME]")
        outlets = {"log": _log()} | {
            name: self._outlet(name, table) for name, table in self._named(tables, "channels").items()
        }
        rules = tuple(self._rule(name, table, outlets) for name, table in self._named(tables, "rules").items())
        if not rules:
            self._refuse(("rules",), "", "at least one table [rules.NAME]")
        return RuleSet(rules, outlets, self._quiet(self._named(tables, "quiet")))

    def _quiet(self, tables: dict[str, dict[str, Any]]) -> tuple[Quiet, ...]:
        if len(tables) > MOST_QUIET:
            self._refuse(("quiet",), "", f"at most {MOST_QUIET} tables [quiet.NAME]")
        return tuple(self._built(Quiet, ("quiet", name), table, name=name) for name, table in tables.items())

    def _named(self, tables: dict[str, Any], section: str) -> dict[str, dict[str, Any]]:
        found = tables.get(section, {})
        if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
            self._refuse((section,), "", f"only tables [{section}.NAME]")
        for name in found:
            if not NAME.fullmatch(name):
                self._refuse((section, name), "", "a name of lower-case letters, digits and hyphens")
        return found

    def _rule(self, name: str, table: dict[str, Any], outlets: Collection[str]) -> Rule:
        try:
            rule = read_rule(name, table)
            check_channels(rule, outlets)
            return rule
        except BadOption as bad:
            self._refuse(("rules", name, *bad.place), bad.shown, bad.expected)

    def _outlet(self, name: str, table: dict[str, Any]) -> ConfiguredChannel:
        place = ("channels", name)
        try:
            kind, table = _kind(table, channels.KINDS)
        except BadOption as bad:
            self._refuse((*place, *bad.place), bad.shown, bad.expected)
        if name == "log" and kind != "log":
            self._refuse((*place, "kind"), shown(kind), "another name for it: `log` is always there, and is the log")
        common = ConfiguredChannel.options().keys()
        own = {option: value for option, value in table.items() if option not in common}
        channel = self._built(channels.kind(kind), place, own)
        rest = {option: value for option, value in table.items() if option in common}
        return self._built(ConfiguredChannel, place, rest, name=name, kind=kind, channel=channel)

    def _built(self, of: type[T], place: tuple[str, ...], table: dict[str, Any], **given: Any) -> T:
        try:
            return of.read(table, self._secret, **given)
        except BadOption as bad:
            self._refuse((*place, *bad.place), bad.shown, bad.expected)

    def _secret(self, how: str, value: str) -> str:
        if how == "env":
            if not self.environment.get(value):
                raise Expected("the name of an environment variable that is set")
            return self.environment[value]
        try:
            return read_text(self.path.parent / value).strip()
        except Unreadable as error:
            raise Expected(f"the path of a text file that can be read: it {error}") from None

    def _refuse(self, place: tuple[str, ...], value: str, expected: str) -> NoReturn:
        name = ".".join(each if BARE.fullmatch(each) else shown(each) for each in place)
        given = f" = {value}" if value else ""
        raise SettingsError(f"{self.path}:{self._line(place)}: {name}{given}: expected {expected}")

    def _line(self, place: tuple[str, ...]) -> int:
        """The line of ``place``, or of its table if it is missing there. TOML parsers keep no positions."""
        header = r"\s*\[\s*" + r"\s*\.\s*".join(f"[\"']?{re.escape(name)}[\"']?" for name in place[:2]) + r"\s*[\].]"
        start = next((at for at, line in enumerate(self.lines) if re.match(header, line)), None)
        if start is None:
            return next((at for at, line in enumerate(self.lines, 1) if place[-1] in line), 1)
        option = rf'\s*["\']?{re.escape(place[2].partition("[")[0])}["\']?\s*[.=]' if len(place) > 2 else ""
        for at, line in enumerate(self.lines[start + 1 :], start + 1):
            if len(place) < 3 or line.lstrip().startswith("["):
                break
            if re.match(option, line):
                return at + 1
        return start + 1
