"""Where samples come from: one file a source, one interface, one line here. A source's module is imported when used."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

from tracker.errors import SettingsError
from tracker.models import Candles, Market, Ticker
from tracker.settings import Settings
from tracker.variables import SOURCES_EXPECTED

#: Source name -> module under this package with an ``open_source(name, settings, pay) -> Source``.
SOURCES = {
    "simulator": "simulator",
    "cryptowatch": "cryptowatch",
}
#: The module of every other name: an exchange that ccxt knows.
EXCHANGE = "exchange"

#: Called with the URL of every request before it is sent; it may raise MustWait.
Pay = Callable[[str], None]


def free(url: str) -> None:
    """Pays for a request that costs nothing."""


class Source(Protocol):
    """What a source can be asked. The calls raise SourceError whatever the other side does, MustWait, and nothing else.

    Every request is paid for with the ``pay`` that the source was opened with, before it is sent.
    """

    @property
    def skew(self) -> float | None:
        """Seconds that its clock is ahead of ours, None if not known."""

    def markets(self) -> list[Market]:
        """The markets that trade there now."""

    def candles(self, market: Market, since: int) -> Candles:
        """Candles of ``market`` from the slot ``since`` (Unix seconds) to the one in progress."""

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        """Market id -> ticker, of those of ``markets`` that have a usable one, from one answer about all markets."""


def exists(name: str) -> bool:
    """Whether ``name`` can stand in SOURCES."""
    return name in SOURCES or module(name).exists(name)


def known(settings: Settings) -> Settings:
    """``settings``, if each of their sources exists; raises SettingsError, in ``load``'s words, if one does not."""
    if not all(map(exists, settings.sources)):
        raise SettingsError(f"SOURCES={','.join(settings.sources)!r}: expected {SOURCES_EXPECTED}")
    return settings


def kind(name: str) -> str:
    """What stands behind the name: ``simulator``, ``cryptowatch`` or ``exchange``."""
    return name if name in SOURCES else EXCHANGE


def open_source(name: str, settings: Settings, pay: Pay = free) -> Source:
    """The source of that name, one for which ``exists`` is true."""
    return module(name).open_source(name, settings, pay)


def module(name: str) -> Any:
    """The module of the source of that name, imported."""
    return import_module(f"{__name__}.{SOURCES.get(name, EXCHANGE)}")
