"""Tables of the rules file, read by pydantic: the base class of rules and channels, and the types of their options.

Pure. Raises BadOption, which names the option, shows its value and says what was expected. It never shows a secret.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from string import Formatter
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

#: Of rules and channels; keys and ids are made of them.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION = re.compile(r"([0-9]{1,6})([smhd])")
#: A format in a template: fill and alignment, sign, width and precision of two digits each, a kind of number.
FORMAT = re.compile(r"(?:[^{}]?[<>=^])?[-+ ]?#?0?[0-9]{0,2}[,_]?(?:\.[0-9]{1,2})?[deEfFgGs%]?")


class Expected(ValueError):
    """A value is not usable. ``expected``: what it should be; ``name``: the option, if several are compared."""

    def __init__(self, expected: str, name: str = ""):
        super().__init__(f"expected {expected}")
        self.expected = expected
        self.name = name


class BadOption(ValueError):
    """``name``: the option as the table writes it; ``shown``: its value, if any; ``expected``: what it should be.

    place: where the option is in the table that is read: its name, or more if it is in a table within that one.
    """

    def __init__(self, name: str, shown: str, expected: str, place: tuple[str, ...] = ()):
        super().__init__(f"{name} = {shown}: expected {expected}")
        self.name = name
        self.shown = shown
        self.expected = expected
        self.place = place or (name,)


class Table(BaseModel):
    """A table of the rules file. Its fields are the options, except those in GIVEN, which the reader fills in."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True,
        validate_by_name=True, validate_by_alias=True, defer_build=True,
    )  # fmt: skip

    GIVEN: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def options(cls) -> dict[str, FieldInfo]:
        """Each option as a table writes it -> its field."""
        fields = cls.model_fields.items()
        return {str(field.validation_alias or name): field for name, field in fields if name not in cls.GIVEN}

    @classmethod
    def read(cls, table: Mapping[str, Any], secrets: Callable[[str, str], str], /, **given: Any) -> Self:
        """An instance made of the options in ``table`` and of ``given``; raises BadOption.

        A table may name a secret as ``NAME_env`` or ``NAME_file``. ``secrets`` then gets ``env`` or ``file`` and the
        text in the table, and returns the secret or raises Expected.
        """
        options, values, written_as = cls.options(), dict(given), {}
        for written, value in table.items():
            name, how = _meant(written, options)
            if name in values:
                raise BadOption(written, "", "it only once, as it is or by _env or _file")
            written_as[name] = written
            try:
                values[name] = secrets(how, _reference(value)) if how else value
            except Expected as expected:
                raise BadOption(written, _shown_reference(value), expected.expected) from None
        try:
            return cls.model_validate(values, by_name=False)
        except ValidationError as error:
            name, what = cls._first(error)
            written = written_as.get(name, name)
            raise BadOption(written, _shown_option(table, written, name, options[name]), what) from None

    @classmethod
    def _first(cls, error: ValidationError) -> tuple[str, str]:
        """(option, what was expected) of the first fault in ``error``. Only texts of Expected count: others may quote.

        A validator of a kind that compares several options gives Expected the name of the one at fault.
        """
        fault = error.errors(include_url=False, include_input=False)[0]
        if fault["type"] == "missing":
            return str(fault["loc"][0]), "a value for it"
        cause = fault.get("ctx", {}).get("error")
        name = cause.name if isinstance(cause, Expected) and cause.name else str(fault["loc"][0])
        if isinstance(cause, Expected):
            return name, cause.expected
        return name, described(cls.model_json_schema()["properties"][name])


def described(schema: Mapping[str, Any]) -> str:
    """What the JSON schema of an option asks for, in words, e.g. ``a whole number from 0 to 30``."""
    match schema:
        case {"description": str(text)}:
            return text
        case {"anyOf": [inner, *_]}:
            return described(inner)
        case {"enum": choices}:
            return f"one of {', '.join(map(str, choices))}"
        case {"type": "boolean"}:
            return "true or false"
        case {"exclusiveMinimum": low, "maximum": high}:
            return f"a number above {low:g}, up to {high:g}"
        case {"type": "integer", "minimum": low, "maximum": high}:
            return f"a whole number from {low} to {high}"
        case {"minimum": low, "maximum": high}:
            return f"a number from {low:g} to {high:g}"
        case {"minLength": low, "maxLength": high}:
            return f"a text of {low} to {high:,} characters"
    return f"a value of the type {schema.get('type', 'that docs/alerts.md names')}"


def shown(value: Any) -> str:
    """A value for a message: short, and on one line."""
    try:
        return repr(value)[:80]
    except (RecursionError, ValueError):  # too deep, or a number of thousands of digits
        return f"(a large {type(value).__name__})"


def toml(section: str, table: Mapping[str, Any]) -> str:
    """``table`` as the table [section] of a TOML file. Its values: texts, numbers, booleans, and lists of them."""
    lines = [f"{name} = {_toml_value(value)}" for name, value in table.items()]
    return "\n".join([f"[{section}]", *lines, ""])


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_toml_value(each)}' for name, each in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")  # TOML allows what JSON escapes, but no raw DEL
    return str(value).lower() if isinstance(value, bool) else repr(value)


def is_template(text: str, known: Collection[str]) -> bool:
    """Whether all fields of the ``str.format`` template ``text`` are names in ``known`` with a format as in FORMAT."""
    try:
        fields = [(name, form or "", how) for _, name, form, how in Formatter().parse(text) if name is not None]
    except ValueError:
        return False
    return all(name in known and FORMAT.fullmatch(form) and not how for name, form, how in fields)


def _meant(written: str, options: Mapping[str, FieldInfo]) -> tuple[str, str]:
    """The option that a table's key stands for, and ``env`` or ``file`` if the key says where a secret is.

    Raises BadOption without the value of an unknown key: it may be a secret under a misspelt name.
    """
    if written in options:
        return written, ""
    name, _, how = written.rpartition("_")
    if how in ("env", "file") and name in options and _is_secret(options[name]):
        return name, how
    raise BadOption(written, "", f"no such option, but one of {', '.join(options)}")


def _is_secret(field: FieldInfo) -> bool:
    return not field.repr


def _shown_option(table: Mapping[str, Any], written: str, name: str, field: FieldInfo) -> str:
    if written not in table:
        is_missing = field.is_required() or not field.default
        return "(missing)" if is_missing else f"{shown(field.default)} (its default)"
    if written != name:  # NAME_env or NAME_file
        return _shown_reference(table[written])
    return "(secret)" if _is_secret(field) else shown(table[written])


def _reference(value: Any) -> str:
    """The name of a variable or the path of a file that a table gives."""
    if not isinstance(value, str) or not value.strip() or len(value) > 2_000:
        raise Expected("a text of 1 to 2,000 characters")
    return value.strip()


def _shown_reference(value: Any) -> str:
    """A name or path for a message. What looks like the secret itself is hidden."""
    return shown(value) if isinstance(value, str) and "://" not in value else "(secret)"


# Types of options

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
#: A text that no message and no ``repr`` shows. A table may name it: NAME_env or NAME_file.
Secret = Annotated[Text, Field(repr=False)]


def duration(low: int, high: int) -> BeforeValidator:
    """For a field of whole seconds: reads a number of them, or e.g. ``90s``, ``5m``, ``1h``, ``1d``."""

    def parse(value: Any) -> int:
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = int(match[1]) * UNITS[match[2]] if match else value
        if type(seconds) is not int or not low <= seconds <= high:
            raise Expected(f'seconds, or a time such as "90s", "5m", "1h" or "1d", from {low} s to {high} s')
        return seconds

    return BeforeValidator(parse, json_schema_input_type=int | str)


def globs(value: Any, of: str = 'metric ids, e.g. "kraken:*:volume"', most: int = 1_000) -> tuple[str, ...]:
    """Reads one glob, or a list of up to ``most``. of: what they match, for the message of a refusal."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if not found or len(found) > most or not all(isinstance(each, str) and 0 < len(each) <= 200 for each in found):
        raise Expected(f"a glob on {of}, or a list of up to {most:,} of them")
    return found


def names(value: Any) -> tuple[str, ...]:
    """Reads a list of names of channels; each counts once."""
    found = value if isinstance(value, (list, tuple)) else ("",)
    if not all(isinstance(each, str) and NAME.fullmatch(each) for each in found):
        raise Expected("a list of names of lower-case letters, digits and hyphens")
    return tuple(dict.fromkeys(found))


Globs = Annotated[tuple[str, ...], BeforeValidator(lambda value: globs(value))]
Names = Annotated[tuple[str, ...], BeforeValidator(names)]
