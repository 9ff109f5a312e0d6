"""The simulated exchange as a source. It speaks Cryptowatch's format, so the class Cryptowatch asks it."""

from tracker.settings import Settings
from tracker.sources import Pay
from tracker.sources.cryptowatch import Cryptowatch


def open_source(name: str, settings: Settings, pay: Pay) -> Cryptowatch:
    return Cryptowatch(settings.simulator_url, "", settings.ring.step, settings.clock, pay)
