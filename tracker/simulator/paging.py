"""Splits lists, ordered by id, into pages with opaque cursors like Cryptowatch's."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

CHECK_BYTES = 8

Item = TypeVar("Item")
Cursor = dict[str, str | bool]


def page(kind: str, items: Mapping[int, Item], limit: int, cursor: str | None) -> tuple[list[Item], Cursor]:
    """At most ``limit`` of ``items`` (by rising id) after the item of ``cursor``, and the next cursor.

    The list may change between pages: no item that stays is skipped or repeated. Raises ValueError for a cursor that
    does not belong to a list of this ``kind``.
    """
    ids = list(items)
    start = bisect_right(ids, _decode(kind, cursor)) if cursor else 0
    chosen = ids[start : start + limit]
    last = _encode(kind, chosen[-1]) if chosen else cursor or ""
    return [items[id] for id in chosen], {"last": last, "hasMore": start + len(chosen) < len(ids)}


def _encode(kind: str, id: int) -> str:
    body = id.to_bytes(8)
    return urlsafe_b64encode(_check(kind, body) + body).decode().rstrip("=")


def _decode(kind: str, cursor: str) -> int:
    raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    check, body = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
    if check != _check(kind, body):
        raise ValueError("not a cursor of this list")
    return int.from_bytes(body)


def _check(kind: str, body: bytes) -> bytes:
    return blake2b(kind.encode() + body, digest_size=CHECK_BYTES).digest()
