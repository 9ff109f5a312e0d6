"""What is stored and how each source does, as text for a terminal."""

from tracker.errors import StoreError
from tracker.models import FIELDS
from tracker.settings import Settings
from tracker.store import Store, connect


def report(settings: Settings) -> str:
    """A few lines; raises StoreError when the store is away."""
    try:
        store = Store(connect(settings.redis_url, tries=1, patience=3), settings.ring)
        now = settings.clock.now()
        ranked = ", ".join(f"{store.ranked(field)} of {field}" for field in FIELDS)
        return "\n".join([f"ranked metrics: {ranked}", *(_source(store, name, now) for name in settings.sources)])
    except StoreError as error:
        raise StoreError(
            f"{error}: is it running? ./scripts/start runs everything, ./scripts/start-db.sh a store"
        ) from error


def _source(store: Store, name: str, now: float) -> str:
    status = store.status(name)
    refused = {key.partition(":")[2]: count for key, count in status.items() if key.startswith("refused:")}
    lines = [f"{name}: {len(store.watched(name))} markets, last success {_ago(status.get('last_success'), now)}"]
    if refused:
        lines.append("  refused: " + ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items())))
    if "last_error" in status:
        lines.append(f"  last error {_ago(status['last_error_at'], now)}: {status['last_error']}")
    return "\n".join(lines)


def _ago(at: str | None, now: float) -> str:
    return f"{max(now - float(at), 0):.0f} s ago" if at else "never"
