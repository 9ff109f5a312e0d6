"""Real candles, replayed to a beat, a worker and the API. Everything is compared with the books."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from api import create_app as create_api
from tests.support.candle_books import DAY, MINUTE, busiest_start, expected_series, pairs
from tests.support.candle_files import FOLDER
from tests.support.exchange import Exchange
from tests.support.http_server import HttpServer
from tests.support.parts import Parts
from tests.support.servers import wait_for
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.settings import load
from tracker.simulator.feeds import Replay
from tracker.simulator.server import create_app as create_exchange
from tracker.store.connection import connect

#: What is replayed, and how fast.
MINUTES, SPEED = 8, 20


def start(parts: Parts) -> None:
    """Starts a worker and a beat."""
    parts.start("worker", "--concurrency", "4", prompt="ready.")
    parts.start("beat", prompt="beat: Starting")


class Replayed:
    """A beat, a worker and the API on one store and one broker, with the exchange and the receiver of their own."""

    def __init__(self, folder: Path, store_url: str, broker_url: str, speed: int = SPEED):
        self.folder, self.speed = folder, speed
        folder.mkdir()
        self.at, self.expected = busiest_start(MINUTES)
        self.told: Counter[str] = Counter()
        self.receiver = HttpServer()
        self.receiver.answer = self._take
        rules = folder / "rules.toml"
        rules.write_text(
            f'[channels.hook]\nkind = "webhook"\nurl = {json.dumps(self.receiver.url)}\nallow_private = true\n'
            '[rules.jump]\nkind = "ratio"\nchannels = ["hook"]\n'
        )
        self.variables = {
            "REDIS_URL": store_url, "BROKER_URL": broker_url, "RULES": str(rules), "INTERVAL": "20",
            "CLOCK_SPEED": str(speed), "WORKER_POOL": "threads",
        }  # fmt: skip

    def run(self, move: Callable[[Parts], None] = lambda parts: None) -> None:
        """Replays, then compares everything. ``move`` may give the parts another store in the midst of it."""
        began = int(time.time())
        feed = Replay(FOLDER, began, self.at)
        with (
            self.receiver,
            Exchange(create_exchange(feed, Clock(began, self.speed))) as exchange,
            Parts(self.folder, **self._variables(began, exchange.url)) as parts,
        ):
            start(parts)
            move(parts)
            settings = load(parts.environment)
            with connect(settings.redis_url) as redis:
                outbox = Outbox(redis)
                self._wait_for_alerts(outbox, began, feed.shift)
                parts.started[-1].kill("SIGTERM")  # no more ticks
                self._assert_alerts(outbox, feed.shift)
                self._assert_series_and_ranks(create_api(settings).test_client(), feed.shift)

    def _variables(self, began: int, exchange: str) -> dict[str, str]:
        return self.variables | {
            "CLOCK_START": str(began), "SIMULATOR_START": str(began), "SIMULATOR_URL": exchange,
            "DATA_DIR": str(self.folder / "data"),
        }  # fmt: skip

    def _take(self, request: object) -> None:
        self.told[request.headers["Idempotency-Key"]] += 1
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _alerts(self, outbox: Outbox, shift: int) -> dict[tuple[str, int], float]:
        """(metric, minute in the files) -> mean of the hour before, of the alerts up to the end of the replay."""
        last = self.at + MINUTES * MINUTE
        found = {(alert.metric, alert.slot - shift): alert.baseline for alert in outbox.newest(1_000)}
        return {key: baseline for key, baseline in found.items() if key[1] <= last}

    def _wait_for_alerts(self, outbox: Outbox, began: int, shift: int) -> None:
        end = began + (MINUTES + 2) * MINUTE / self.speed
        done = lambda: time.time() > end and self._alerts(outbox, shift).keys() >= self.expected.keys()  # noqa: E731
        wait_for(done, f"every alert: {self.expected.keys()}", 90)

    def _assert_alerts(self, outbox: Outbox, shift: int) -> None:
        assert self._alerts(outbox, shift) == pytest.approx(self.expected, rel=1e-9)
        rows = [f"jump:{metric}:{slot + shift}/hook/firing" for metric, slot in self.expected]
        wait_for(lambda: {row.state for row in outbox.deliveries.all(rows)} == {"delivered"}, "all are delivered")
        for metric, slot in self.expected:
            assert self.told[f"jump:{metric}:{slot + shift}"] == 1

    def _assert_series_and_ranks(self, api: FlaskClient, shift: int) -> None:
        for field in ("price", "volume"):
            deviations: dict[str, float] = {}
            ranks: dict[str, int] = {}
            for pair in pairs():
                served = api.get(f"/v1/metrics/replay:{pair}:{field}").json
                first, final = served["start"] - shift, served["final"]
                expected = expected_series(pair, field, first, first + DAY)[:final]
                assert served["values"][:final] == expected, served["id"]
                assert final > 1_430
                deviations[served["id"]] = float(np.std([value for value in expected if value is not None]))
                assert served["stddev_24h"] == pytest.approx(deviations[served["id"]], rel=1e-9)
                ranks[served["id"]] = served["rank"]["position"]
            order = sorted(deviations, key=lambda id: deviations[id], reverse=True)
            assert [ranks[id] for id in order] == [*range(1, len(order) + 1)]
