"""Reads a dataclass from environment variables: each of its fields is made by ``variable``.

Any variable may come from a file: ``REDIS_URL_FILE=/run/secrets/redis`` reads REDIS_URL from that file.
"""

import re
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tracker.errors import SettingsError
from tracker.files import Unreadable, read_text
from tracker.variables import SHOWN, Parser, Unusable

T = TypeVar("T")

#: The login in a URL. Its password may hold a slash, though then it is no valid URL.
LOGIN = re.compile(r"(?<=://).*@")
HIDDEN = "(secret)"


def variable(name: str, default: str, parse: Parser, meaning: str, secret: bool = False) -> Any:
    """A field of a dataclass. Its value is ``parse`` of the text in the environment variable ``name``."""
    metadata = {"name": name, "default": default, "parse": parse, "meaning": meaning, "secret": secret}
    return field(repr=not secret, metadata=metadata)


def read(kind: type[T], environment: Mapping[str, str]) -> T:
    """An instance of the dataclass ``kind``. Raises SettingsError as ``refuse`` does."""
    values = {each.name: _value(environment, **each.metadata) for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def _value(environment: Mapping[str, str], name: str, default: str, parse: Parser, meaning: str, secret: bool) -> Any:
    given = text(environment, name) or default
    try:
        return parse(given)
    except Unusable as expected:
        refuse(name, HIDDEN if secret else repr(masked(given))[:SHOWN], str(expected))


def masked(value: str, secret: bool = False) -> str:
    """``value`` without what is ``secret``: all of it, or the login of a URL."""
    return HIDDEN if value and secret else LOGIN.sub(f"{HIDDEN}@", value)


def text(environment: Mapping[str, str], name: str) -> str:
    """The text of a variable, or of its file; empty without both. Raises SettingsError for the file."""
    return environment.get(name) or _from_file(environment, name)


def origin(environment: Mapping[str, str], name: str) -> str:
    """Where ``text`` finds a variable: ``environment``, ``file PATH``, or ``default`` if it is not set."""
    if environment.get(name):
        return "environment"
    return f"file {environment[f'{name}_FILE']}" if _from_file(environment, name) else "default"


def _from_file(environment: Mapping[str, str], name: str) -> str:
    file = environment.get(f"{name}_FILE")
    if not file:
        return ""
    try:
        return read_text(Path(file)).strip()
    except Unreadable as error:
        refuse(f"{name}_FILE", repr(file)[:SHOWN], f"a readable text file: it {error}")


def refuse(name: str, value: str, expected: str) -> NoReturn:
    """Raises SettingsError with the variable, its value (unless it is secret) and what was expected."""
    raise SettingsError(f"{name}={value}: expected {expected}")
