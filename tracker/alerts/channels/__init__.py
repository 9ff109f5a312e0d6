"""Where notices go: one file a channel kind, one interface, one line here. A kind's module is imported when used."""

from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Protocol

from tracker.alerts.options import duration, flag, option, whole
from tracker.models import Notice

#: Kind -> module under this package with a dataclass ``Channel`` whose fields are its options.
KINDS = {
    "log": "log",
    "webhook": "webhook",
    "apprise": "apprise",
}


class Channel(Protocol):
    """What every kind is: a frozen dataclass of options (see options.py) that can send.

    PATIENCE: seconds after which a ``send`` has surely ended; CEILING: that of an outlet whose table does not say.
    """

    PATIENCE: ClassVar[int]
    CEILING: ClassVar[int]

    def send(self, notice: Notice) -> str:
        """Sends ``notice``; returns what the other side said, in a few words. Raises ChannelError, and nothing else."""


def kind(name: str) -> type[Channel]:
    """The class of a kind, a key of KINDS."""
    return import_module(f"{__name__}.{KINDS[name]}").Channel


@dataclass(frozen=True, kw_only=True)
class ConfiguredChannel:
    """A channel as it is configured, with what all kinds have.

    resolved: it wants to be told of alerts that are over; ceiling: messages in ``window`` seconds before the rest
    becomes one digest; 0: no ceiling; None: the kind's own.
    """

    name: str
    kind: str
    channel: Channel
    resolved: bool = option(flag, False)
    ceiling: int | None = option(whole(0, 10_000), None)
    window: int = option(duration(10, 3_600), 60)

    @property
    def most(self) -> int:
        """The ceiling in force."""
        return self.channel.CEILING if self.ceiling is None else self.ceiling
