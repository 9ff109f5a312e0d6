"""A channel that follows a script, and an outbox whose clock the test sets."""

from typing import ClassVar

from pydantic import ConfigDict, Field

from tracker.alerts.channels import Channel, ConfiguredChannel
from tracker.alerts.outbox import Outbox
from tracker.alerts.quiet import in_force
from tracker.alerts.sender import deliver, due
from tracker.errors import ChannelError
from tracker.models import Alert

NOW = 1_700_000_000.0
ALERT = Alert(
    "jump", "kraken:btcusd:volume", 1_699_999_980, 301.5, 100.5, 3.0, 60, 3_600, NOW, text="it jumped"
)  # fmt: skip


class Scripted(Channel):
    """A channel that raises the errors in ``script`` in turn, then takes everything unless it is ``away``.

    refused: keys of notices that it never takes.
    """

    PATIENCE: ClassVar[int] = 10
    CEILING: ClassVar[int] = 0

    model_config = ConfigDict(frozen=False)

    script: list = Field(default_factory=list)
    sent: list = Field(default_factory=list)
    taken: list = Field(default_factory=list)
    away: bool = False
    refused: set = Field(default_factory=set)

    def send(self, notice):
        self.sent.append(notice)
        if self.away or notice.key in self.refused:
            raise ChannelError("answered 503", status=503)
        if self.script and (error := self.script.pop(0)):
            raise error
        self.taken.append(notice)
        return "taken"


class World:
    """An outbox, one channel ``phone``, and a clock that the test sets."""

    def __init__(self, redis):
        self.time = NOW
        self.quiet = []
        self.outbox = Outbox(redis, lambda: self.time, lambda now: in_force(self.quiet, now))
        self.silences = self.outbox.silences
        self.channel = Scripted()
        self.outlets = {"phone": ConfiguredChannel(name="phone", kind="scripted", channel=self.channel)}

    @property
    def outlet(self):
        return self.outlets["phone"]

    @outlet.setter
    def outlet(self, outlet):
        self.outlets["phone"] = outlet

    def record(self, alert=ALERT):
        assert self.outbox.record(alert, 60, ["phone"])
        return f"{alert.id}/phone/firing"

    def deliver(self, row):
        deliver(self.outbox, self.outlets, row)
        return self.outbox.deliveries.get(row)

    def run(self, seconds, step=1):
        """Lets time pass, and sends what becomes due."""
        end = self.time + seconds
        while self.time < end:
            self.time += step
            for row in due(self.outbox, 1_000):
                self.deliver(row)

    def silence(self, seconds, match="*"):
        return self.silences.add((match,), self.time + seconds, "listing day", self.time).id

    @property
    def told(self):
        return [(notice.event, notice.key) for notice in self.channel.sent]


def resolve(world, id=ALERT.id):
    [row] = world.outbox.resolve(id, NOW + 60, ["phone"])
    return row
