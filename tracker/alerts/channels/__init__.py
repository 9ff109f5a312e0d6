"""Where notices go: one file for a kind of channel, one line here. A kind's module is imported when it is used."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Annotated, ClassVar

from pydantic import Field

from tracker.alerts.tables import Table, duration
from tracker.models import Notice

#: Kind -> module under this package with a class ``Channel``, whose fields are the options of this kind.
KINDS = {
    "log": "log",
    "webhook": "webhook",
    "apprise": "apprise",
}


class Channel(Table, ABC):
    """Base class of all kinds: its fields are options of the rules file, and it can send.

    PATIENCE: seconds after which a ``send`` has surely ended; CEILING: the ceiling if the table gives none; DETAILED:
    whether it shows what is around an alert.
    """

    PATIENCE: ClassVar[int]
    CEILING: ClassVar[int]
    DETAILED: ClassVar[bool] = True

    def attaches(self) -> bool:
        """Whether it attaches a picture to a notice."""
        return False

    @abstractmethod
    def send(self, notice: Notice) -> str:
        """Sends ``notice``; returns the other side's answer in a few words. Raises ChannelError, and nothing else."""


def kind(name: str) -> type[Channel]:
    """The class of a kind, a key of KINDS."""
    found: type[Channel] = import_module(f"{__name__}.{KINDS[name]}").Channel
    return found


class ConfiguredChannel(Table):
    """A channel with the options that all kinds have.

    resolved: send a notice when an alert is over; late: send a digest of alerts that were found too late; ceiling:
    notices in ``window`` seconds before the rest becomes one digest, 0 for no ceiling, None for the kind's own.
    """

    GIVEN = frozenset({"name", "kind", "channel"})

    name: str
    kind: str
    channel: Channel
    resolved: bool = False
    late: bool = False
    ceiling: Annotated[int, Field(ge=0, le=10_000)] | None = None
    window: Annotated[int, duration(10, 3_600)] = 60

    @property
    def most(self) -> int:
        """The ceiling in force."""
        return self.channel.CEILING if self.ceiling is None else self.ceiling
