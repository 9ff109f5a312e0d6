"""A store that tests fill as workers would, and the app over it with a stopped clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flask.testing import FlaskClient

from api import create_app
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.models import Market
from tracker.series.ring import Ring
from tracker.settings import Settings, load
from tracker.store.connection import connect
from tracker.store.series import Store

#: 20 s into a slot.
NOW = 1_700_000_000.0
RING = Ring()
SLOTS = RING.slots(NOW)


def market(id: str) -> Market:
    """The market with this id. The last three letters of its pair are the quote."""
    return Market(id, id.split(":")[1][:-3], id[-3:])


def spread(mean: float, deviation: float) -> np.ndarray:
    """A full window; its closed slots have exactly this mean and standard deviation."""
    values = mean + deviation * np.where(np.arange(len(SLOTS)) % 2, 1.0, -1.0)
    values[-1] = mean
    return values


@dataclass
class Tracked:
    """The store at ``url`` and the API over it, as of ``now``."""

    url: str
    now: float = NOW

    def __post_init__(self) -> None:
        self.store = Store(connect(self.url), RING)

    @property
    def settings(self) -> Settings:
        return replace(load({"REDIS_URL": self.url}), clock_start=self.now, clock_speed=0)

    @property
    def client(self) -> FlaskClient:
        return create_app(self.settings).test_client()

    def get(self, path: str) -> Any:
        """The JSON that the API answers. The request must succeed."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def watch(self, *ids: str) -> None:
        self.store.watch("simulator", [market(id) for id in ids])

    def put(self, id: str, values: np.ndarray, slots: np.ndarray = SLOTS, price: float = 1.0) -> None:
        """Stores ``values`` as volumes of the market ``id``, each with ``price``."""
        both = np.column_stack([np.full(len(slots), price), values])
        self.store.write("simulator", id, slots, both, float(slots[-1]), new=True)

    def evaluate(self, *ids: str) -> None:
        pipeline.evaluate(self.store, Outbox(self.store.redis), (), ids, self.now)

    def fill(self, ids: Sequence[str]) -> None:
        """Watches, fills and evaluates ``ids``. Each volume deviates more than the one before."""
        self.watch(*ids)
        for number, id in enumerate(ids, start=1):
            self.put(id, spread(1_000, 100 * number))
        self.evaluate(*ids)
