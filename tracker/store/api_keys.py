"""API keys in Redis. ``python -m tracker keys`` makes, lists and revokes them; the API checks them.

``{dt1}:keys`` hash, id -> JSON of a Key. A key is ``dt-{id}-{secret}``. Only a digest of the whole key is stored. One
round of SHA-256 is enough: nobody can guess a secret of 256 random bits, so salt and slow hashes protect nothing, and
every request pays for the check.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from secrets import token_hex, token_urlsafe
from typing import Any

import orjson
from redis import Redis

from tracker.errors import SettingsError, StoreError, TooMany
from tracker.settings import Settings
from tracker.store.connection import connect, translated
from tracker.store.layout import API_KEYS

#: The scopes of a key. Each scope includes the scopes before it.
SCOPES = ("read", "admin")
#: Keys at most, because the API often reads all of them.
MOST = 1_000
_KEY = re.compile(r"dt-([0-9a-f]{8})-[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """An API key without its secret. ``created``: Unix seconds; ``digest``: SHA-256 of the whole key, as hex."""

    id: str
    name: str
    scope: str
    created: float
    digest: str = field(repr=False)


class Keys:
    """The keys in a store. Every method may raise StoreError."""

    def __init__(self, redis: Redis):
        self.redis: Any = redis

    def create(self, name: str, scope: str, now: float) -> str:
        """Makes a key and returns its text, which is not stored. Raises TooMany if there are MOST keys."""
        text = f"dt-{token_hex(4)}-{token_urlsafe(32)}"
        key = Key(text[3:11], name, scope, now, _digest(text))
        if len(self.all()) >= MOST:
            raise TooMany(f"there are {MOST} keys already: revoke some")
        with translated():
            if not self.redis.hsetnx(API_KEYS, key.id, orjson.dumps(asdict(key))):
                return self.create(name, scope, now)  # one in four billion
        return text

    def all(self) -> dict[str, Key]:
        """All keys by id, the oldest first."""
        with translated():
            stored = self.redis.hvals(API_KEYS)
        keys = sorted((Key(**orjson.loads(each)) for each in stored), key=lambda key: key.created)
        return {key.id: key for key in keys}

    def revoke(self, id: str) -> bool:
        """Revokes a key; returns whether it existed. The API refuses it after about a second."""
        with translated():
            return bool(self.redis.hdel(API_KEYS, id))


def match(keys: Mapping[str, Key], text: str) -> Key | None:
    """The one of ``keys`` with this ``text``, or None. Compares digests in constant time."""
    form = _KEY.fullmatch(text)
    key = keys.get(form[1]) if form else None
    return key if key and hmac.compare_digest(_digest(text), key.digest) else None


def is_public(settings: Settings) -> bool:
    """Whether other machines may reach the API, on an address of the network or through a proxy."""
    return bool(settings.trusted_proxies) or settings.on_network


def needs_one(settings: Settings) -> bool:
    """Whether the API needs a key to start: other machines can reach it, and API_OPEN does not allow that."""
    return settings.on_network and not settings.api_open


def check_start(settings: Settings) -> None:
    """Raises SettingsError if the API may not start without a key, StoreError if the store does not answer."""
    if not needs_one(settings):
        return
    expected = (
        "expected an API key to be there before others can reach the API: make one with `python -m tracker keys create "
        "NAME`, or set API_OPEN=yes to let everybody read and nobody write"
    )
    try:
        if not Keys(connect(settings.redis_url, tries=6, patience=3)).all():
            raise SettingsError(f"BIND_ADDRESS={settings.bind}: {expected}")
    except StoreError as error:
        raise StoreError(
            f"BIND_ADDRESS={settings.bind}: {expected}; the store does not say if there is one: {error}"
        ) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
