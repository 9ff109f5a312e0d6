"""Small text files that a person names: rules, secrets, settings. Read whole, in bounds, and never waited for."""

import os
from pathlib import Path
from stat import S_ISREG

#: Bytes at most.
LARGEST = 1_000_000


class Unreadable(ValueError):
    """Why a file cannot be read, in words that follow "it"."""


def read_text(path: Path) -> str:
    """The text of a file; raises Unreadable. A pipe or a device is refused: it might have no end, or never begin."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # no such file, or no such name
        raise Unreadable(f"cannot be opened: {getattr(error, 'strerror', error)}") from error
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(raw) > LARGEST:
        raise Unreadable(f"has more than {LARGEST:,} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"is no text in UTF-8: byte {error.start}") from error
