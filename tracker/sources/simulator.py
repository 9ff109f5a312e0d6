"""The simulated exchange as a source: it speaks Cryptowatch's format, so it is asked as Cryptowatch is."""

from tracker.settings import Settings
from tracker.sources import Pay
from tracker.sources.cryptowatch import Cryptowatch


def open_source(name: str, settings: Settings, pay: Pay) -> Cryptowatch:
    return Cryptowatch(settings.simulator_url, "", settings.ring.step, settings.clock, pay)
