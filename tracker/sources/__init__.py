"""The interface of a source and the list of sources. Each source is one file beside this one.

A source's module is imported when the source is first used.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

from tracker.errors import SettingsError
from tracker.models import Candles, Market, Ticker
from tracker.settings import Settings
from tracker.variables import SOURCES_EXPECTED

#: Source name -> module of this package that defines ``open_source(name, settings, pay) -> Source``.
SOURCES = {
    "simulator": "simulator",
    "cryptowatch": "cryptowatch",
}
#: The module for every other name, which must be an exchange that ccxt knows.
EXCHANGE = "exchange"

#: Called with a request's URL before the request is sent, to pay for it. May raise MustWait.
Pay = Callable[[str], None]


def free(url: str) -> None:
    """Pay for sources without a budget."""


class Source(Protocol):
    """A source. Its methods raise SourceError or MustWait and nothing else, whatever the other side answers.

    The source calls the ``pay`` that it was opened with before it sends a request.
    """

    @property
    def skew(self) -> float | None:
        """How far its clock is ahead of ours, in seconds; None if not known."""

    def markets(self) -> list[Market]:
        """The markets that trade on this source now."""

    def candles(self, market: Market, since: int) -> Candles:
        """Candles of ``market`` from the slot ``since`` (Unix seconds) to the one in progress."""

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        """Market id -> ticker, from one request for all ``markets``. A market without a usable ticker is left out."""


def exists(name: str) -> bool:
    """Whether ``name`` may be used in the setting SOURCES."""
    return name in SOURCES or module(name).exists(name)


def known(settings: Settings) -> Settings:
    """Returns ``settings`` if each of their sources exists, else raises SettingsError in the words of ``load``."""
    if not all(map(exists, settings.sources)):
        raise SettingsError(f"SOURCES={','.join(settings.sources)!r}: expected {SOURCES_EXPECTED}")
    return settings


def kind(name: str) -> str:
    """The kind of the source: ``simulator``, ``cryptowatch`` or ``exchange``."""
    return name if name in SOURCES else EXCHANGE


def open_source(name: str, settings: Settings, pay: Pay = free) -> Source:
    """Opens the source ``name``, which must exist (see ``exists``)."""
    source: Source = module(name).open_source(name, settings, pay)
    return source


def module(name: str) -> Any:
    """Imports the module of the source ``name``."""
    return import_module(f"{__name__}.{SOURCES.get(name, EXCHANGE)}")
