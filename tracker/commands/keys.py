"""What ``python -m tracker keys`` does and says."""

from collections.abc import Iterable
from datetime import UTC, datetime

from tracker.errors import TrackerError
from tracker.plain import plain
from tracker.settings import Settings
from tracker.store.connection import connect
from tracker.store.keys import Keys


def command(settings: Settings, action: str, argument: str, scope: str) -> Iterable[str]:
    """Does what ``python -m tracker keys`` was asked to, and tells it in lines."""
    keys = Keys(connect(settings.redis_url, tries=1, patience=3))
    match action:
        case "create":
            yield keys.create(argument, scope, settings.clock.now())
        case "revoke":
            if not keys.revoke(argument):
                raise TrackerError(f"there is no key {argument!r}: `python -m tracker keys list` shows those that are")
            yield f"revoked {argument}"
        case "list":
            yield from (
                f"{key.id}  {key.scope:5}  {_day(key.created)}  {plain(key.name)}" for key in keys.all().values()
            )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
