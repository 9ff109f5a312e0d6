"""What the store tells of the whole tracker: for the command ``status``, and for the checks."""

from dataclasses import dataclass
from typing import Any

from tracker import clock
from tracker.alerts.deliveries import DEAD
from tracker.alerts.outbox import Outbox
from tracker.errors import StoreError
from tracker.models import Alert
from tracker.settings import Settings
from tracker.sources.status import SourceState, states
from tracker.store import model, parts, queues, skew, suitable
from tracker.store.canary import Canary
from tracker.store.connection import connect, translated
from tracker.store.freshness import Freshness, freshness
from tracker.store.layout import DUE
from tracker.store.parts import Seen
from tracker.store.queues import Queues
from tracker.store.series import Store
from tracker.worker.refused import Refused

#: Seconds that the store has to answer.
PATIENCE = 3


@dataclass(frozen=True)
class Overview:
    """now: Unix seconds of the tracker's clock; ahead: seconds that this machine's clock is ahead of the store's.

    fresh: by source; servers: what INFO says of each server of the store, or ``unasked``, why that is not known.
    pending, dead: notices; refused: messages; firing: alerts; last_alert: None if there was none in a week;
    canary: seconds since the newest round that passed, None if none did.
    """

    settings: Settings
    now: float
    ahead: float
    parts: list[Seen]
    sources: list[SourceState]
    fresh: dict[str, Freshness]
    queues: Queues
    servers: list[dict[str, Any]]
    unasked: str
    pending: int
    dead: int
    refused: int
    firing: int
    last_alert: Alert | None
    canary: float | None


def look(settings: Settings) -> Overview:
    """Reads the Overview. Raises StoreError, or SettingsError for data of another version."""
    ahead = skew.measure(settings)
    clock.set_ahead(skew.correction(ahead))  # all ages are counted by the store's clock
    redis = connect(settings.redis_url, tries=1, patience=PATIENCE, local=settings.redis_socket)
    if model.stored(redis) is not None:  # a store without data stays so
        model.check(redis)
    store, outbox = Store(redis, settings.ring), Outbox(redis)
    with translated():
        pending, dead = int(store.redis.zcard(DUE)), int(store.redis.zcard(DEAD))
    servers, unasked = [], ""
    try:
        servers = list(suitable.servers(redis))
    except StoreError as error:  # its user may not
        unasked = str(error)
    return Overview(
        settings, settings.clock.now(), ahead,
        parts.read(redis),
        states(store, settings),
        freshness({name: store.status(name) for name in settings.sources}, settings),
        queues.read(redis, clock.wall()),
        servers, unasked, pending, dead,
        len(Refused(redis).all()),
        len(outbox.firing()),
        next(iter(outbox.newest(1)), None),
        Canary(redis).age(settings.clock.now()),
    )  # fmt: skip
