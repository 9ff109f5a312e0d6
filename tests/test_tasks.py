"""What ticks and sweeps publish. Each runs in a new process, because Celery's app reads its settings once."""

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.support.servers import StoreServer
from tests.support.stack import CLEAN
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.silences import Silences
from tracker.models import Alert, Market
from tracker.store.series import Store

pytestmark = pytest.mark.slow  # starts processes of its own

ROOT = Path(__file__).parents[1]
TICKS = """
import sys
from tracker.tasks import schedule_fetches
for task_id in sys.argv[1:]:
    schedule_fetches.apply(args=("simulator",), task_id=task_id, throw=True)
"""


def tick(server: StoreServer, *task_ids: str, **variables: str) -> None:
    """Runs ticks with these ids one after another, all in one interval of an hour."""
    environment = CLEAN | {"REDIS_URL": server.url, "INTERVAL": "3600", **variables}
    subprocess.run([sys.executable, "-c", TICKS, *task_ids], cwd=ROOT, env=environment, check=True, timeout=60)


def published(redis: Redis, queue: str = "fetch") -> list[dict]:
    """The tasks in the queue: their headers, with their markets under ``markets``."""
    tasks = []
    for raw in redis.lrange(queue, 0, -1):
        message = json.loads(raw)
        arguments, *_ = json.loads(base64.b64decode(message["body"]))
        tasks.append(message["headers"] | {"markets": arguments[-1]})
    return tasks


def watch(store: Store, count: int) -> list[str]:
    markets = [Market(f"bench:pair{number:05}", "a", "b") for number in range(count)]
    store.watch("simulator", markets)
    return [market.id for market in markets]


@pytest.mark.parametrize(
    ("count", "setting", "tasks", "largest"),
    [(60, "auto", 60, 1), (100, "auto", 100, 1), (101, "auto", 51, 2), (3_100, "auto", 100, 31), (10, "4", 3, 4)],
)
def test_a_tick_makes_one_task_a_market_until_that_is_over_100(
    store_server: StoreServer, redis: Redis, store: Store, count: int, setting: str, tasks: int, largest: int
) -> None:
    watched = watch(store, count)
    tick(store_server, "one", MARKETS_PER_TASK=setting)
    found = published(redis)
    assert len(found) == tasks
    assert max(len(task["markets"]) for task in found) == largest
    assert sorted(market for task in found for market in task["markets"]) == watched
    assert all(task["expires"] for task in found)


def test_a_second_tick_of_an_interval_publishes_nothing_and_a_redelivered_one_again(
    store_server: StoreServer, redis: Redis, store: Store
) -> None:
    watch(store, 5)
    tick(store_server, "one", "two")
    assert len(published(redis)) == 5
    tick(store_server, "one")  # its worker may have died before it published
    assert len(published(redis)) == 10


def test_a_budget_that_does_not_pay_for_all_publishes_those_asked_for_longest_ago(
    store_server: StoreServer, redis: Redis, store: Store
) -> None:
    watched = watch(store, 20)
    for market in watched[:15]:
        store.failed("simulator", 1.0, "not_json", "", market)
    tick(store_server, "one", BUDGET="simulator=9/9")  # INTERVAL is an hour: a budget for 3,600
    assert len(published(redis)) == 20
    redis.delete("fetch")
    tick(store_server, "one", BUDGET="simulator=7/3600")
    assert sorted(market for task in published(redis) for market in task["markets"]) == watched[:1] + watched[15:]
    assert store.status("simulator")["deferred"] == "14"


def test_a_source_of_tickers_gets_one_task(store_server: StoreServer, redis: Redis, store: Store) -> None:
    watch(store, 500)
    tick(store_server, "one", FEED="simulator=tickers")
    [raw] = redis.lrange("fetch", 0, -1)
    assert json.loads(raw)["headers"]["task"] == "tracker.tasks.fetch_tickers"


def test_a_fetch_that_must_wait_long_is_left_to_a_later_tick(
    store_server: StoreServer, redis: Redis, store: Store
) -> None:
    [market] = watch(store, 1)
    redis.set("{dt1}:pause:simulator", "too many requests", ex=600)
    code = f"from tracker.tasks import fetch; print(fetch.apply(args=('simulator', [{market!r}])).state)"
    environment = CLEAN | {"REDIS_URL": store_server.url}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "IGNORED", done.stderr
    assert published(redis) == []
    assert "last_error" not in store.status("simulator")


def test_a_batch_that_must_wait_under_way_ends_with_what_is_done_and_the_rest_comes_again(
    store_server: StoreServer, redis: Redis, store: Store
) -> None:
    markets = watch(store, 4)
    code = f"""
from tracker import pipeline, tasks
from tracker.errors import MustWait

def fetch(store, name, source, market, clock, fresh):
    if market == {markets[2]!r}:
        raise MustWait(9, "spent")

pipeline.fetch = fetch
print(tasks.fetch.apply(args=("simulator", {markets!r})).state)
"""
    command, environment = [sys.executable, "-c", code], CLEAN | {"REDIS_URL": store_server.url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "SUCCESS", done.stderr
    [rest] = published(redis)
    assert rest["markets"] == markets[2:]
    assert rest["eta"]
    [evaluation] = published(redis, "evaluate")
    assert evaluation["task"] == "tracker.tasks.evaluate"
    assert evaluation["markets"] == markets[:2]
    assert evaluation["expires"]


def sweep(server: StoreServer) -> None:
    command = "from tracker.tasks import sweep; sweep.apply(throw=True)"
    environment = CLEAN | {"REDIS_URL": server.url}
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=environment, check=True, timeout=60)


def test_a_sweep_publishes_the_notices_that_are_due_once(store_server: StoreServer, redis: Redis) -> None:
    record(redis, 3)
    sweep(store_server)
    sweep(store_server)
    arguments = [json.loads(base64.b64decode(json.loads(raw)["body"]))[0] for raw in redis.lrange("notify", 0, -1)]
    assert sorted(arguments) == [[f"jump:kraken:m{number}:volume:60", "phone", "firing"] for number in range(3)]


def test_a_sweep_publishes_what_a_silence_held_back_until_it_ended(store_server: StoreServer, redis: Redis) -> None:
    record(redis, 1)
    outbox, [row] = Outbox(redis), Outbox(redis).deliveries.pending()
    claimed, token = outbox.deliveries.claim(row.id, 10) or pytest.fail("not claimed")
    silence = Silences(redis).add(("*",), time.time() + 3_600, "listing day", time.time())
    outbox.deliveries.hold(claimed, token, silence.id, "by a silence")
    sweep(store_server)
    assert redis.llen("notify") == 0
    Silences(redis).remove(silence.id)
    sweep(store_server)
    [raw] = redis.lrange("notify", 0, -1)
    assert json.loads(base64.b64decode(json.loads(raw)["body"]))[0] == row.id.split("/")


def test_quiet_hours_of_the_file_hold_back_and_are_told_to_the_api(
    store_server: StoreServer, redis: Redis, tmp_path: Path
) -> None:
    record(redis, 1)
    rules, now, hour = tmp_path / "rules.toml", datetime.now(UTC), timedelta(hours=1)
    rules.write_text(f'''
[channels.phone]
kind = "log"
[rules.jump]
kind = "ratio"
[quiet.now]
from = "{now - hour:%H:%M}"
to = "{now + hour:%H:%M}"
zone = "UTC"
''')
    code = "from tracker.tasks import notify, sweep; notify.apply(args=({!r}, 'phone', 'firing'), throw=True); sweep()"
    environment = CLEAN | {"REDIS_URL": store_server.url, "RULES": str(rules)}
    command = [sys.executable, "-c", code.format("jump:kraken:m0:volume:60")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    assert redis.llen("notify") == 0
    [quiet] = Silences(redis).listed(time.time())
    assert quiet.id.startswith("quiet:now:") and now.timestamp() + 3_500 < quiet.until < now.timestamp() + 3_700
    [held] = Outbox(redis).deliveries.held.back([quiet.id])
    assert held.count == 1
    # without the file they are over
    sweep(store_server)
    assert redis.llen("notify") == 1


def test_a_sweep_adds_nothing_to_a_queue_that_nobody_works_on(store_server: StoreServer, redis: Redis) -> None:
    record(redis, 3)
    redis.rpush("notify", *["a notice"] * 1_000)
    sweep(store_server)
    assert redis.llen("notify") == 1_000


def record(redis: Redis, count: int) -> None:
    """Records alerts one minute ago; their tasks are lost."""
    outbox = Outbox(redis, lambda: time.time() - 60)
    for number in range(count):
        outbox.record(Alert("jump", f"kraken:m{number}:volume", 60, 9.0, 1.0, 3.0, 60, 3_600, 61.0), 60, ["phone"])


def test_an_evaluation_after_an_absence_has_a_digest_for_the_channels_that_want_it(
    store_server: StoreServer, redis: Redis, store: Store, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[channels.log]\nkind = "log"\nlate = true\n[rules.busy]\nkind = "ratio"\nmatch = "*:volume"\n')
    now = time.time()
    slots = store.ring.slots(now)
    values = np.column_stack([np.full(len(slots), 10.0), np.full(len(slots), 100.0)])
    values[-20, 1] = 1_000
    store.write("simulator", "x:ab", slots[:-30], values[:-30], now - 1_800, new=True)
    pipeline.evaluate(store, Outbox(redis), (), ["x:ab"], now - 1_800)
    store.write("simulator", "x:ab", slots[-31:], values[-31:], now)

    evaluation = "from tracker.tasks import evaluate; evaluate.apply(args=(['x:ab'],), throw=True)"
    environment = CLEAN | {"REDIS_URL": store_server.url, "RULES": str(rules)}
    subprocess.run([sys.executable, "-c", evaluation], cwd=ROOT, env=environment, check=True, timeout=60)

    [alert] = Outbox(redis).newest()
    assert (alert.late, alert.slot, alert.state) == (True, slots[-20], "resolved")
    [digest] = Outbox(redis).deliveries.pending()
    assert (digest.alert[:5], digest.channel, digest.event) == ("late:", "log", "digest")
    assert [row.id for row in Outbox(redis).deliveries.digested(digest)] == [f"{alert.id}/log/firing"]
