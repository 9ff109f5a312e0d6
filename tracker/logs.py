"""How every part writes its log: one line an event, to stdout, as text or as JSON.

`docs/operations.md` describes the fields. ``tracker/worker/lines.py`` adds what Celery alone knows, and
``api/serving/request_log.py`` the line of a request.
"""

import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from tracker.errors import StoreError
from tracker.plain import PlainRecord, plain

#: The variables from which a process knows how to log. ``begin`` sets them for the programs that a part becomes.
PART, FORMAT, LEVEL = "LOG_PART", "LOG_FORMAT", "LOG_LEVEL"
#: Loggers that LOG_LEVEL applies to. Libraries log warnings only: their other lines hold URLs, header fields and OAuth
#: keys. ``tracker.http`` silences urllib3 altogether.
OURS = ("tracker", "api", "celery", "flower")
#: Fields of a line after its message, in this order. A record has them from ``extra``, or from ``about``.
FIELDS = ("task", "source", "market", "markets", "alert", "channel", "ms", "client", "task_id", "request_id")
#: Seconds between two lines about the same failure.
EVERY = 60
#: A library whose lines about a receiver that is away are told once in EVERY seconds.
SENDER = "opentelemetry"
#: A value of a field that needs no quotes in a line of text.
BARE = re.compile(r"[^\s\"=]+")

_about: ContextVar[dict[str, Any]] = ContextVar("about")


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """All that is logged meanwhile has these FIELDS."""
    token = _about.set(known() | fields)
    try:
        yield
    finally:
        _about.reset(token)


def known() -> dict[str, Any]:
    """The fields of what this thread is about."""
    return _about.get({})


def know(fields: dict[str, Any]) -> None:
    """As ``about``, until the next call: for a caller that learns of the end by another signal."""
    _about.set(fields)


class Record(PlainRecord):
    """A plain record that knows what it is about."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.about = known()


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The FIELDS of ``record`` that have a value: numbers, or one plain line of text."""
    found = getattr(record, "about", {}) | vars(record)
    named = {name: found[name] for name in FIELDS if found.get(name) is not None}
    return {name: value if isinstance(value, int) else plain(str(value)) for name, value in named.items()}


class Text(logging.Formatter):
    """``2026-01-31T23:59:59.123Z INFO worker-fetch done task=fetch market=kraken:btcusd ms=44 task_id=...``

    The lines of a traceback follow, indented.
    """

    def __init__(self, part: str):
        super().__init__(f"%(asctime)s %(levelname)s {part} %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return utc_time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        named = (f" {name}={_shown(value)}" for name, value in fields(record).items())
        return super().formatMessage(record) + "".join(named)


class Json(logging.Formatter):
    """The same as one JSON object, with the logger's name, and with the traceback in a field of its own."""

    def __init__(self, part: str):
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": utc_time(record), "level": record.levelname, "part": self.part}
        line |= {"message": record.getMessage(), **fields(record), "logger": record.name}
        if record.exc_info:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def utc_time(record: logging.LogRecord) -> str:
    """When ``record`` was made: UTC, ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: Any) -> str:
    text = str(value)
    return text if BARE.fullmatch(text) else '"' + text.replace('"', '\\"') + '"'


class OneLine(logging.Filter):
    """Lets a failure that repeats itself fill no log.

    A failure of the store, or another of ``outages``, has no stack, and is told once in EVERY seconds. Another failure
    is told each time, with its stack once in EVERY seconds.
    """

    def __init__(self, *outages: type[BaseException]) -> None:
        super().__init__()
        self.outages: tuple[type[BaseException], ...] = (StoreError, *outages)
        self._said: dict[tuple[str, int, int, type], float] = {}  # time.monotonic; bounded by the places that log

    def filter(self, record: logging.LogRecord) -> bool:
        error = self._outage(record)
        outage = bool(error) or record.name.startswith(SENDER)
        if not outage and not record.exc_info:
            return True
        error = error or (record.exc_info[1] if record.exc_info else None)
        # Not the message: that of Flask has the path of the request.
        place, now = (record.pathname, record.lineno, record.levelno, type(error)), time.monotonic()
        recent = now - self._said.get(place, -EVERY) < EVERY
        if not recent:
            self._said[place] = now
        if record.exc_info and (outage or recent):
            told = record.getMessage()
            record.msg, record.args = told if str(error) in told else f"{told} ({error})", None
            record.exc_info = record.exc_text = None
        return not (outage and recent)

    def outages_of(self, record: logging.LogRecord) -> tuple[type[BaseException], ...]:
        """The errors that are an outage where ``record`` was made."""
        return self.outages

    def _outage(self, record: logging.LogRecord) -> BaseException | None:
        """The failure of store or broker that ``record`` is about."""
        told = record.args if isinstance(record.args, tuple) else ()
        named = [record.exc_info[1] if record.exc_info else None, *told]
        return next((each for each in named if isinstance(each, self.outages_of(record))), None)


def begin(part: str, settings: Any) -> None:
    """Sets up this process, and what it becomes, to log as the ``part`` of its ``settings``."""
    os.environ |= {PART: part, FORMAT: settings.log_format, LEVEL: settings.log_level}
    set_up()


def part() -> str:
    return os.environ.get(PART, "tracker")


def is_part() -> bool:
    """Whether this process is a part, and not a command that speaks to a person."""
    return PART in os.environ


def set_up(*filters: logging.Filter) -> None:
    """Makes this process log as the variables say. ``filters``: instead of ``OneLine``."""
    logging.setLogRecordFactory(Record)
    logging.raiseExceptions = False  # a full disk is no reason to print a traceback for each line
    logging.captureWarnings(True)
    warnings.formatwarning = _warning
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter())
    for each in filters or (OneLine(),):
        handler.addFilter(each)
    level = getattr(logging, os.environ.get(LEVEL, "info").upper(), logging.INFO)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level)


def _warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    """A warning of Python in one line, without its line of code."""
    return f"{category.__name__}: {' '.join(str(message).split())}"


def formatter() -> logging.Formatter:
    """Also what granian's processes log by, see granian.json."""
    kind = Json if os.environ.get(FORMAT, "").lower() == "json" else Text
    return kind(part())
