"""Makes foreign text safe for one line of a log or a terminal: no line breaks, no escapes, bounded length."""

import logging
import re
from typing import Any

#: Characters that move the cursor, break the line or change the direction of text, and lone surrogates.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
#: Most characters of a text.
LONGEST = 10_000


def plain(text: str) -> str:
    """``text`` in one line. Each unsafe character becomes an escape such as ``\\n`` or ``\\x1b``."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), cut)


def plain_lines(text: str) -> str:
    """``text`` with its lines kept, and each line plain."""
    return "\n".join(map(plain, text.split("\n")))


class PlainRecord(logging.LogRecord):
    """A log record whose message is one plain line. The lines of its traceback are indented."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        if self.exc_info and self.exc_info[0]:
            # A formatter uses this text instead of its own.
            traced = logging.Formatter().formatException(self.exc_info)
            self.exc_text = "\n".join(f"  {plain(line)}" for line in traced.split("\n"))

    def getMessage(self) -> str:
        return plain(super().getMessage())


def log_plainly() -> None:
    """Makes all log records of this process plain, also those of libraries, for every formatter."""
    logging.setLogRecordFactory(PlainRecord)
