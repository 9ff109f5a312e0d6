"""Values out of a TOML table, judged one by one: ``option`` declares them on a dataclass, ``build`` makes one.

Pure: what is not usable raises BadOption, which names the option, shows its value and says what was expected.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, field, fields
from string import Formatter
from typing import Any, TypeVar

Parse = Callable[[Any], Any]
T = TypeVar("T")

#: Of rules and channels; keys and ids are made of them.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION = re.compile(r"([0-9]{1,6})([smhd])")
#: Of a field in a template: fill and alignment, sign, a width and a precision of two digits, a kind of number.
FORMAT = re.compile(r"(?:[^{}]?[<>=^])?[-+ ]?#?0?[0-9]{0,2}[,_]?(?:\.[0-9]{1,2})?[deEfFgGs%]?")


class Expected(ValueError):
    """What was expected instead of a value. ``name``: of which option, where that is not clear."""

    def __init__(self, expected: str, name: str = ""):
        super().__init__(expected)
        self.name = name


class BadOption(ValueError):
    """``name``: the option, as it is written; ``shown``: its value, or why there is none; ``expected``: instead."""

    def __init__(self, name: str, shown: str, expected: str):
        super().__init__(f"{name} = {shown}: expected {expected}")
        self.name = name
        self.shown = shown
        self.expected = expected


def option(parse: Parse, default: Any = MISSING, name: str = "", secret: bool = False) -> Any:
    """A dataclass field that a table gives, as ``name`` if it has another there; without a default it must."""
    return field(default=default, repr=not secret, metadata={"parse": parse, "name": name, "secret": secret})


def declared_by(kind: type) -> dict[str, Field]:
    """How a table writes each option of a dataclass -> its field."""
    return {each.metadata["name"] or each.name: each for each in fields(kind) if each.metadata}


def build(kind: type[T], table: Mapping[str, Any], secrets: Callable[[str, str], str], /, **given: Any) -> T:
    """A ``kind`` of the options in ``table`` and what is ``given`` besides; raises BadOption.

    A secret may be named instead: ``secrets`` is asked for what ``NAME_env`` or ``NAME_file`` stands for, by ``env`` or
    ``file`` and the value there; it raises Expected.
    """
    declared = declared_by(kind)
    values: dict[str, Any] = {}
    for written, value in table.items():
        each, how = _meant(written, declared)
        if each.name in values:
            raise BadOption(written, "", "it only once, as it is or by _env or _file")
        try:
            values[each.name] = each.metadata["parse"](secrets(how, text(value)) if how else value)
        except Expected as expected:
            hidden = each.metadata["secret"] and (not how or "://" in str(value))
            raise BadOption(written, "(secret)" if hidden else shown(value), str(expected)) from None
    for written, each in declared.items():
        if each.name not in values and each.default is MISSING:
            raise BadOption(written, "(missing)", "a value for it")
    try:
        return kind(**values, **given)
    except Expected as expected:
        value = shown(table[expected.name]) if expected.name in table else "(missing)"
        raise BadOption(expected.name, value, str(expected)) from None


def _meant(written: str, declared: Mapping[str, Field]) -> tuple[Field, str]:
    """The option that a table's key is for, and ``env`` or ``file`` if it says where the value is.

    The value of one that is not declared is not shown: it may be a secret whose name is misspelt.
    """
    if written in declared:
        return declared[written], ""
    name, _, how = written.rpartition("_")
    if how in ("env", "file") and name in declared and declared[name].metadata["secret"]:
        return declared[name], how
    raise BadOption(written, "", f"no such option, but one of {', '.join(declared)}")


def require(usable: bool, expected: str, name: str) -> None:
    """Raises Expected, of the option ``name``, unless it is ``usable``: for what options must be to each other."""
    if not usable:
        raise Expected(expected, name)


def is_template(text: str, known: Collection[str]) -> bool:
    """Whether braces, as ``str.format`` has them, hold only names that are ``known``, with formats as FORMAT says."""
    try:
        fields = [(name, form or "", how) for _, name, form, how in Formatter().parse(text) if name is not None]
    except ValueError:
        return False
    return all(name in known and FORMAT.fullmatch(form) and not how for name, form, how in fields)


def shown(value: Any) -> str:
    """A value, for a message: short, and in one line."""
    try:
        return repr(value)[:80]
    except (RecursionError, ValueError):  # too deep, or a number of thousands of digits
        return f"(a large {type(value).__name__})"


# Parsers: the value, or Expected


def number(low: float, high: float, above: bool = False) -> Parse:
    """From ``low`` (or, if ``above``, more than that) to ``high``."""

    def parse(value: Any) -> float:
        usable = type(value) in (int, float) and low <= value <= high  # nan is not, nor what no float holds
        if not usable or (above and value == low):
            raise Expected(f"a number above {low:g}, up to {high:g}" if above else f"a number from {low:g} to {high:g}")
        return float(value)

    return parse


def whole(low: int, high: int) -> Parse:
    def parse(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Expected(f"a whole number from {low} to {high}")
        return value

    return parse


def duration(low: int, high: int) -> Parse:
    """Seconds, out of a number of them or of e.g. ``90s``, ``5m``, ``1h``, ``1d``."""

    def parse(value: Any) -> int:
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = int(match[1]) * UNITS[match[2]] if match else value
        if type(seconds) is not int or not low <= seconds <= high:
            raise Expected(f'seconds, or a time such as "90s", "5m", "1h" or "1d", from {low} s to {high} s')
        return seconds

    return parse


def one_of(*choices: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in choices:
            raise Expected(f"one of {', '.join(choices)}")
        return value

    return parse


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Expected("true or false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 2_000:
        raise Expected("a text of 1 to 2,000 characters")
    return value.strip()


def globs(value: Any) -> tuple[str, ...]:
    """One glob on metric ids, or a list of them."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not found or len(found) > 1_000 or not all(isinstance(each, str) and 0 < len(each) <= 200 for each in found):
        raise Expected('a glob on metric ids, e.g. "kraken:*:volume", or a list of them')
    return found


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and NAME.fullmatch(each) for each in value):
        raise Expected("a list of names of lower-case letters, digits and hyphens")
    return tuple(dict.fromkeys(value))
