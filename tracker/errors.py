"""Every error the tracker raises by itself.

TrackerError
├── SettingsError      bad configuration: names the variable, its value and what was expected
├── BadId              a string that is no market or metric id
├── ChannelError       a channel did not take a notice; says whether trying again may help
├── SourceError        a source did not answer, or its answer was refused; carries the counted reason
├── MustWait           a source must not be asked now: its budget is spent, it asked for a pause, its breaker is open
└── StoreError         Redis is away or answered with an error
"""


class TrackerError(Exception):
    """The base of all errors below: its text is meant for the person who can do something about it."""


class SettingsError(TrackerError):
    """A variable's value is not usable; the start stops with this text."""


class BadId(TrackerError):
    """Not of the form ``exchange:pair`` or ``exchange:pair:field``."""


class SourceError(TrackerError):
    """A source gave nothing that can be stored. ``reason`` is the short name it is counted under.

    wait: seconds it asked not to be called for, 0 if it did not; permanent: no call will do better until a person acts.
    """

    def __init__(self, reason: str, message: str, wait: float = 0, permanent: bool = False):
        super().__init__(message)
        self.reason = reason
        self.wait = wait
        self.permanent = permanent


class MustWait(TrackerError):
    """The source was not asked. ``seconds``: when to try again."""

    def __init__(self, seconds: float, message: str):
        super().__init__(message)
        self.seconds = seconds


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
