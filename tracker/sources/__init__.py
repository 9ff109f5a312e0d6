"""Where samples come from: one file a source, one interface, one line here. A source's module is imported when used."""

from importlib import import_module
from typing import Protocol

from tracker.models import Candles, Market
from tracker.settings import Settings

#: Source name -> module under this package with an ``open_source(settings) -> Source``.
SOURCES = {
    "simulator": "simulator.source",
    "cryptowatch": "cryptowatch",
}


class Source(Protocol):
    """What a source can be asked. Both calls raise SourceError, and nothing else, whatever the other side does."""

    def markets(self) -> list[Market]:
        """The markets that trade there now."""

    def candles(self, market: str, since: int) -> Candles:
        """Candles of ``market`` from the slot ``since`` (Unix seconds) to the one in progress."""


def open_source(name: str, settings: Settings) -> Source:
    """The source of that name, a key of SOURCES."""
    return import_module(f"{__name__}.{SOURCES[name]}").open_source(settings)
