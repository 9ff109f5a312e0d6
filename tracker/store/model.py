"""The version of the data in the store. Parts refuse a store with data of another version, which they would misread.

``{dt1}:model`` string, the version of the data. Version 1 had no such key, and all its keys began with ``dt1:``.
"""

from typing import Any

from redis import Redis

from tracker.errors import SettingsError
from tracker.store.connection import PREFIX, RINGS, translated
from tracker.store.pipelines import pipeline

MODEL = f"{PREFIX}:model"
VERSION = 2
#: How the keys of version 1 began, and one that every store of version 1 has.
FIRST = "dt1:"
SIGN_OF_FIRST = f"{FIRST}version"


def stored(redis: Redis) -> int | None:
    """The version of the data; None in a store without data. Raises StoreError."""
    version, first = pipeline(redis).ask([("GET", MODEL), ("EXISTS", SIGN_OF_FIRST)])
    return 1 if first else None if version is None else int(version)


def check(redis: Redis) -> None:
    """Notes the version in a store without data. Raises SettingsError for data of another version, or StoreError."""
    found = stored(redis)
    if found is None:
        pipeline(redis).ask([("SET", MODEL, VERSION, "NX")])
    elif found < VERSION:
        raise SettingsError(
            f"the store holds data of version {found}, expected {VERSION}: stop all parts, run "
            "`python -m tracker store upgrade`, then start them again"
        )
    elif found > VERSION:
        raise SettingsError(
            f"the store holds data of version {found}, expected {VERSION}: this part is older than the data, update it"
        )


def upgrade(redis: Redis) -> int:
    """Renames the keys of version 1. Returns how many; 0 in a store of VERSION. Raises SettingsError, StoreError.

    May run again. A key that is there under both names stays as it is under the new one.
    """
    client: Any = redis
    renamed = 0
    if stored(redis) == 1:
        with translated():
            for key in client.scan_iter(f"{FIRST}*", 1_000):
                if key.startswith(RINGS.encode()):
                    continue
                if not client.renamenx(key, PREFIX.encode() + key.removeprefix(b"dt1")):
                    client.delete(key)
                renamed += 1
    check(redis)
    return renamed
