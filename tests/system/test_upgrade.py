"""A stack is upgraded while it runs: new workers take what the released version left in the queues."""

import json
import time
from pathlib import Path

import pytest

from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.released import messages
from tests.support.servers import StoreServer, wait_for
from tests.support.truth import assert_complete
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.models import Alert
from tracker.series.ring import Ring
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.store.connection import connect
from tracker.store.series import Store
from tracker.worker.refused import Refused

FEED = Generated(seed=7, markets=3, exchanges=1)
MARKETS = [f"{listing.exchange}:{listing.pair}" for listing in FEED.markets]
ALERT = Alert("jump", "kraken:btcusd:volume", 60, 9.0, 1.0, 3.0, 60, 3_600, 61.0)
ROW = f"{ALERT.id}/log/firing"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_new_workers_do_what_the_released_version_published(tmp_path: Path, pool: str) -> None:
    with (
        StoreServer(tmp_path, "--appendfsync", "no") as server,
        Exchange(create_app(FEED, Clock())) as exchange,
        connect(server.url) as redis,
        Parts(tmp_path, REDIS_URL=server.url, SIMULATOR_URL=exchange.url, WORKER_POOL=pool) as parts,
    ):
        store, outbox = Store(redis, Ring()), Outbox(redis)
        outbox.record(ALERT, 60, ["log"])
        released = messages()
        for message in released:
            redis.lpush(message["properties"]["delivery_info"]["routing_key"], json.dumps(message))
        worker = parts.start("worker", "--concurrency", "2", prompt="ready.")

        wait_for(lambda: len(store.ranking("price")) == len(MARKETS), "every market is fetched, evaluated and ranked")
        assert_complete(store, FEED)
        wait_for(lambda: outbox.deliveries.get(ROW).state == "delivered", f"the notice is sent: {worker.logs()[-500:]}")
        redis.delete(*redis.keys("{dt1}:rank:*"))
        [evaluation] = [each for each in messages() if each["headers"]["task"] == "tracker.tasks.evaluate"]
        redis.lpush("evaluate", json.dumps(evaluation))
        wait_for(lambda: len(store.ranking("price")) == len(MARKETS), "the evaluation ranks the markets again")
        wait_for(lambda: not redis.exists("fetch", "evaluate", "notify", "unacked"), "no message is left")
        assert Refused(redis).all() == []
        assert time.time() - float(store.status("simulator")["last_success"]) < 60
