"""A tracker of an exchange in memory, by a clock that the test sets: it fetches, evaluates and sends by hand."""

from contextlib import suppress

from tests.support.hand_driven import START, Exchange, HandClock, every_minute
from tests.support.sending import Scripted
from tracker import pipeline
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import Threshold
from tracker.alerts.sender import deliver, due
from tracker.errors import MustWait
from tracker.models import Market

HIGH = Threshold(name="high", match=("*:volume",), above=50, channels=("phone", "bot"), cooldown=0)
MARKETS = [f"x:m{number}" for number in range(3)]


def trades(spikes, minutes=3 * 1_440):
    """A trade a minute from a day before START, with a volume of 100 in the minutes ``spikes`` after START."""
    found = every_minute(START - 86_400, minutes)
    return found | {START + 60 * at: (100.0, 100.0) for at in spikes}


class Days:
    """A tracker of an exchange, whose clock the test sets. The channel ``phone`` wants what came late, ``bot`` not."""

    def __init__(self, store, trades, clock=None):
        self.store = store
        self.exchange = Exchange(clock or HandClock(START + 30.0), trades)
        self.clock = self.exchange.clock
        self.outbox = Outbox(store.redis, self.clock.now)
        self.phone, self.bot = Scripted(), Scripted()
        self.outlets = {
            "phone": ConfiguredChannel(name="phone", kind="scripted", channel=self.phone, resolved=True, late=True),
            "bot": ConfiguredChannel(name="bot", kind="scripted", channel=self.bot, resolved=True),
        }
        store.watch("exchange", [Market(market, "a", "b") for market in trades])

    def fetch(self):
        for market in self.exchange.trades:
            with suppress(MustWait):
                pipeline.fetch(self.store, "exchange", self.exchange, market, self.clock)

    def evaluate(self):
        return pipeline.evaluate(
            self.store, self.outbox, [HIGH], [*self.exchange.trades], self.clock.now(),
            ("phone", "bot"), wants_late=("phone",),
        )  # fmt: skip

    def tick(self, minutes=1):
        """Lets some time pass, then fetches and evaluates; returns the late edges as (market, minute after START)."""
        self.clock.time += 60 * minutes
        self.fetch()
        return [(alert.metric.rpartition(":")[0], (alert.slot - START) // 60) for alert in self.evaluate().late]

    def send(self, seconds):
        """Sends what becomes due, second by second. The market's clock stands still meanwhile, as does the source."""
        for _ in range(int(seconds)):
            self.clock.time += 1
            for row in due(self.outbox, 1_000):
                deliver(self.outbox, self.outlets, row)

    def told(self, channel):
        return [(notice.event, notice.title) for notice in channel.taken]
