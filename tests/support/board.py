"""A store filled up to now, as the workers would fill it, and the API over it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from werkzeug.serving import make_server

from api import create_app
from tests.support.servers import answers, free_port, wait_for
from tracker import pipeline
from tracker.alerts import rules
from tracker.alerts.outbox import Outbox
from tracker.models import Market
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.store.connection import connect
from tracker.store.series import Store

RING = Ring()
#: A gap in every market's series: these rows of the window have no sample.
GAP = slice(600, 700)
#: What a price does over the 1,441 rows of the window: around 1, by a tenth.
WAVE = 1 + 0.1 * np.sin(np.arange(RING.rows) / 90)


class Board:
    """The store at ``store_url`` and the API over it, on a port of its own.

    By default the API runs in this process behind a plain HTTP server, which starts at once. With ``alone`` it is the
    process that a user runs, and a test can end it.
    """

    def __init__(self, store_url: str, alone: bool = False):
        self.store = Store(connect(store_url), RING)
        self.outbox = Outbox(self.store.redis)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.alone = alone
        self.variables = {"REDIS_URL": store_url, "API_PORT": str(self.port), "LOG_LEVEL": "warning"}

    def start(self) -> None:
        if not self.alone:
            self.server = make_server("127.0.0.1", self.port, create_app(load(self.variables)), threaded=True)
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
            return
        self.process = subprocess.Popen([sys.executable, "-m", "tracker", "api"], env={**os.environ, **self.variables})
        wait_for(lambda: answers(f"{self.url}healthz"), "the API answers", 60)

    def stop(self) -> None:
        if not self.alone:
            self.server.shutdown()
            self.server.server_close()
            return
        self.process.terminate()
        self.process.wait(30)

    def watch(self, prices: dict[str, float]) -> None:
        """Puts ``market id -> price`` on the watch list; the last three letters are the quote."""
        self.store.watch("simulator", [Market(id, id.split(":")[1][:-3], id[-3:]) for id in prices])

    def fill(self, prices: dict[str, float], until: float = 0) -> None:
        """Watches markets with 24 h of a wave around their price and a steady volume, with one gap, and ranks them.

        The newest sample is that of ``until`` seconds from now.
        """
        self.watch(prices)
        now = time.time()
        slots = RING.slots(now)
        present = slots <= now + until
        present[GAP] = False
        for number, (id, price) in enumerate(prices.items(), start=1):
            volume = 10 * number + np.arange(len(slots)) % 7
            both = np.column_stack([price * np.roll(WAVE, 37 * number), volume])
            self.store.write("simulator", id, slots[present], both[present], now, new=True)
        self.evaluate(list(prices))

    def put(self, id: str, price: float, volume: float, active: Sequence[rules.Rule] = ()) -> int:
        """Stores a sample of the slot in progress, evaluates it by the rules ``active``, and returns the slot."""
        now = time.time()
        slot = RING.slot(now)
        self.store.write("simulator", id, np.array([slot]), np.array([[price, volume]]), now)
        self.evaluate([id], active)
        return slot

    def evaluate(self, ids: Sequence[str], active: Sequence[rules.Rule] = ()) -> None:
        pipeline.evaluate(self.store, self.outbox, active, ids, time.time())


@contextmanager
def running(board: Board) -> Iterator[Board]:
    board.start()
    try:
        yield board
    finally:
        board.stop()
