"""Every error the tracker raises by itself.

TrackerError
├── SettingsError      bad configuration: names the variable, its value and what was expected
├── BadId              a string that is no market or metric id
├── ChannelError       a channel did not take a notice; says whether trying again may help
├── SourceError        a source did not answer, or its answer was refused; carries the counted reason
└── StoreError         Redis is away or answered with an error
"""


class TrackerError(Exception):
    """The base of all errors below: its text is meant for the person who can do something about it."""


class SettingsError(TrackerError):
    """A variable's value is not usable; the start stops with this text."""


class BadId(TrackerError):
    """Not of the form ``exchange:pair`` or ``exchange:pair:field``."""


class SourceError(TrackerError):
    """A source gave nothing that can be stored. ``reason`` is the short name it is counted under."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class StoreError(TrackerError):
    """The store cannot be reached or refuses the command."""


class ChannelError(TrackerError):
    """A channel did not take a notice. Its text holds no secret.

    ``permanent``: trying again is of no use; ``status``: the receiver's HTTP status, if it gave one; ``retry_after``:
    seconds that it asked to be left alone.
    """

    def __init__(
        self, message: str, permanent: bool = False, status: int | None = None, retry_after: float | None = None
    ):
        super().__init__(message)
        self.permanent = permanent
        self.status = status
        self.retry_after = retry_after
