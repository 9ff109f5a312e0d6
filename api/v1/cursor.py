"""Cursors of lists: the place of a page's last row, as text. Rows may move meanwhile: a row that does not is neither
left out nor given twice, since the next page is what comes behind the place, not behind a number of rows."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from math import isfinite

import orjson

from api.v1.table import Place


class BadCursor(ValueError):
    """Not made by ``write``, or for another order."""


def write(order: str, place: Place) -> str:
    return urlsafe_b64encode(orjson.dumps([order, *place])).decode().rstrip("=")


def read(text: str, order: str) -> Place:
    """The place that ``write`` made ``text`` of; raises BadCursor."""
    try:
        made_for, *place = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        field, missing, number, id = place
    except (ValueError, TypeError):
        raise BadCursor("expected `next` of the page before") from None
    if made_for != order:
        raise BadCursor("it belongs to another order: begin without it")
    numbers = all(isinstance(each, int | float) and isfinite(each) for each in (field, number))
    if not (numbers and isinstance(missing, bool) and isinstance(id, str)):
        raise BadCursor("expected `next` of the page before")
    return Place(field, missing, number, id)
