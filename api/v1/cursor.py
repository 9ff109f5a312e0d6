"""Cursors of lists: the place of a page's last row, as text.

The next page begins after that place, not after a number of rows. So a row that does not move between two pages comes
exactly once, even if other rows move.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from math import isfinite

import orjson

from api.v1.table import Place


class BadCursor(ValueError):
    """The cursor was not made by ``write``, or it was made for another order."""


def write(order: str, place: Place) -> str:
    """The cursor of ``place`` in the order named ``order``, in letters that a URL may have."""
    return urlsafe_b64encode(orjson.dumps([order, *place])).decode().rstrip("=")


def read(text: str, order: str) -> Place:
    """The place in the cursor ``text``; raises BadCursor."""
    try:
        made_for, *place = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        field, missing, number, id = place
    except (ValueError, TypeError):
        raise BadCursor("expected `next` of the previous page") from None
    if made_for != order:
        raise BadCursor("it belongs to another order: begin without a cursor")
    numbers = all(isinstance(each, int | float) and isfinite(each) for each in (field, number))
    if not (numbers and isinstance(missing, bool) and isinstance(id, str)):
        raise BadCursor("expected `next` of the previous page")
    return Place(field, missing, number, id)
