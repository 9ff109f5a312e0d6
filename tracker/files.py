"""Reads small text files that a person names: rules, secrets, settings. Their size is bounded; reading never blocks."""

import os
from pathlib import Path
from stat import S_ISREG

#: Most bytes of a file.
LARGEST = 1_000_000


class Unreadable(ValueError):
    """Says why a file cannot be read, in words that follow "it"."""


def read_text(path: Path) -> str:
    """The text of a file. Raises Unreadable, also for a pipe or a device: reading it might never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: no possible name
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
