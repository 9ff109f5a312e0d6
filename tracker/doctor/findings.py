"""What a check finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """check: what was looked at; state: ok, problem, or unknown if it could not be looked at; advice: what to do."""

    check: str
    state: str
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def problem(check: str, text: str, advice: str) -> Finding:
    return Finding(check, "problem", text, advice)


def unknown(check: str, text: str) -> Finding:
    return Finding(check, "unknown", text)


def span(seconds: float) -> str:
    """A length of time for people: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
