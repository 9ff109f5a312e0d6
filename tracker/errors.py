"""Every error that the tracker raises itself.

TrackerError
├── SettingsError      bad configuration: names the variable, its value and what was expected
├── BadId              a string is not a market id or a metric id
├── TooMany            there is no room for another of something; the API answers 409
├── ChannelError       a channel did not take a notice; says whether a retry may help
├── SourceError        a source did not answer, or its answer was refused; carries the reason that is counted
├── MustWait           a source must not be asked now: budget spent, pause requested, or breaker open
└── StoreError         Redis cannot be reached or answered with an error
"""


class TrackerError(Exception):
    """Base of all errors below. The text is for the person who can fix the problem."""


class SettingsError(TrackerError):
    """A setting has an unusable value. The program stops at startup with this text."""


class BadId(TrackerError):
    """The id does not have the form ``exchange:pair`` or ``exchange:pair:field``."""


class TooMany(TrackerError):
    """There are as many of something as may be. The text says what to remove."""


class SourceError(TrackerError):
    """A source gave nothing that can be stored. ``reason`` is the short name under which the error is counted.

    wait: seconds for which the source asked not to be called, 0 if it did not ask; permanent: retries fail until a
    person acts.
    """

    def __init__(self, reason: str, message: str, wait: float = 0, permanent: bool = False):
        super().__init__(message)
        self.reason = reason
        self.wait = wait
        self.permanent = permanent


class MustWait(TrackerError):
    """The source was not asked. ``seconds``: how long to wait before the next try."""

    def __init__(self, seconds: float, message: str):
        super().__init__(message)
        self.seconds = seconds


class StoreError(TrackerError):
    """The store cannot be reached, or it refused the command."""


class ChannelError(TrackerError):
    """A channel did not take a notice. Its text holds no secret.

    ``permanent``: a retry is useless; ``status``: the receiver's HTTP status, None without an answer; ``retry_after``:
    seconds to wait that the receiver asked for.
    """

    def __init__(
        self, message: str, permanent: bool = False, status: int | None = None, retry_after: float | None = None
    ):
        super().__init__(message)
        self.permanent = permanent
        self.status = status
        self.retry_after = retry_after
