"""How Flower and Celery's logs show the arguments of a task: as a person would say them."""

from collections.abc import Sequence
from typing import Any

#: Characters at most: as many as Celery shows.
LONGEST = 1_024


def readable(arguments: Sequence[Any]) -> str:
    """``kraken:btcusd`` for a task of one market, ``kraken, 2 markets: kraken:btcusd, kraken:ethusd`` for one of two.

    Other arguments are separated by commas.
    """
    *others, markets = arguments or ("",)
    if not isinstance(markets, list):
        return ", ".join(map(str, arguments))[:LONGEST]
    if len(markets) == 1:
        return str(markets[0])[:LONGEST]
    return f"{', '.join([*others, f'{len(markets)} markets'])}: {', '.join(markets)}"[:LONGEST]
