"""The links of a notice: to the dashboard at PUBLIC_URL, and signed ones to do something about its alert.

``{dt1}:links`` string, the secret that signs them, made once; ``{dt1}:link:{signature}`` string, when that link was
used, Unix seconds.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any
from urllib.parse import urlencode

import orjson
from redis import Redis

from tracker.models import METRIC_ID, Action, Alert
from tracker.series.ring import DAY
from tracker.store.connection import PREFIX, translated

#: What links can do, with the text of their buttons.
ACTIONS = {"acknowledge": "Acknowledge", "silence": "Silence 1 h"}
#: The link that shows the picture of an alert, as often as one likes.
PICTURE = "picture"
#: A link works for so many seconds.
LIFE = DAY
SECRET = f"{PREFIX}:links"


def page(public_url: str, alert: Alert | None) -> str:
    """The page that opens ``alert`` on the chart of its metric; without an alert, the dashboard."""
    shown = {"metric": alert.metric} if alert and METRIC_ID.fullmatch(alert.metric) else {}
    query = urlencode(shown | ({"alert": alert.id} if alert else {}), safe=":")
    return f"{public_url}/{f'?{query}' if query else ''}"


def masked(said: str) -> str:
    """``said`` without the signatures of links: a receiver may repeat what it got."""
    return re.sub(r"(signature(?:=|%3[Dd]))[\w-]+", r"\1***", said)


@dataclass(frozen=True)
class Link:
    """A signed link: it does ``action`` about the alert of the id ``alert``. It was sent to ``channel``.

    until: Unix seconds, when it expires.
    """

    action: str
    alert: str
    channel: str
    until: int
    signature: str


class Links:
    """Signs links and reads them. Every method may raise StoreError; ``now`` is in Unix seconds of the wall clock."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis  # as in Store

    def actions(self, public_url: str, alert: str, channel: str, now: float) -> tuple[Action, ...]:
        """A link for each of ACTIONS."""
        return tuple(
            Action(name, label, self.signed(name, public_url, alert, channel, now)) for name, label in ACTIONS.items()
        )

    def signed(self, name: str, public_url: str, alert: str, channel: str, now: float) -> str:
        """The link ``name``, one of ACTIONS or PICTURE."""
        until = int(now) + LIFE
        query = {"alert": alert, "channel": channel, "until": until}
        signature = _signature(self._secret(), name, alert, channel, until)
        return f"{public_url}/links/{name}?{urlencode(query | {'signature': signature}, safe=':')}"

    def read(self, action: str, query: Mapping[str, str]) -> Link | None:
        """The link with this ``action`` and ``query``, if its signature is ours."""
        alert, channel, until, given = (query.get(name, "") for name in ("alert", "channel", "until", "signature"))
        if action not in (*ACTIONS, PICTURE) or not (until.isascii() and until.isdigit() and len(until) <= 12):
            return None
        link = Link(action, alert, channel, int(until), given)
        expected = _signature(self._secret(), action, alert, channel, link.until)
        return link if hmac.compare_digest(expected.encode(), given.encode()) else None

    def used_at(self, link: Link) -> float | None:
        """When ``link`` was used, Unix seconds; None if it was not."""
        with translated():
            used = self.redis.get(_used_key(link))
        return float(used) if used else None

    def use(self, link: Link, now: float) -> None:
        """Notes that ``link`` was used."""
        with translated():
            self.redis.set(_used_key(link), now, nx=True, ex=LIFE)

    def _secret(self) -> bytes:
        """It is asked for each time: another store has another one."""
        with translated():
            self.redis.set(SECRET, token_hex(32), nx=True)
            secret: bytes = self.redis.get(SECRET)
        return secret


def _used_key(link: Link) -> str:
    return f"{PREFIX}:link:{link.signature}"


def _signature(secret: bytes, action: str, alert: str, channel: str, until: int) -> str:
    """HMAC-SHA256 over all that the link says, as base64url without padding."""
    digest = hmac.digest(secret, orjson.dumps([action, alert, channel, until]), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
