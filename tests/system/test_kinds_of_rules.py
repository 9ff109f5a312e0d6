"""A bad print on one of three exchanges, and a market that falls silent: real workers find them by each kind."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.candle_files import HEADER, write
from tests.support.exchange import Exchange
from tests.support.parts import Parts
from tests.support.replayed import start
from tests.support.servers import wait_for
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.series.ring import HOUR
from tracker.simulator.feeds import Replay
from tracker.simulator.server import create_app
from tracker.store.connection import connect

MINUTE, SPEED = 60, 10
#: The minute in progress at the start, in the files. The bad print comes PRINT minutes later.
AT, PRINT, AFTER = 1_700_000_040, 5, 30
RULES = """
[rules.busy-rise]
kind = "all"
all = [
  { field = "volume", kind = "ratio", factor = 10 },
  { field = "price", kind = "change", percent = 3, over = "5m", direction = "up" },
]
[rules.off]
kind = "spread"
percent = 3
[rules.quiet]
kind = "silent"
match = "*:volume"
after = "5m"
[rules.wild]
kind = "rank"
match = "*:volume"
top = 1
"""


def make_candles(folder: Path) -> None:
    """Three exchanges with two pairs, 25 h of them. The last market has no trade from the start of the replay on."""
    folder.mkdir()
    random, minutes = np.random.default_rng(3), np.arange(-25 * 60, AFTER)
    for number, market in enumerate(f"{exchange}-{pair}" for pair in ("btcusd", "ethusd") for exchange in "abc"):
        price, volume = np.full(len(minutes), 100.0), random.uniform(1, 2, len(minutes)).round(4)
        volume[minutes < -HOUR // MINUTE] += number * (
            minutes[minutes < -HOUR // MINUTE] % 2
        )  # a larger deviation each
        if market == "a-btcusd":
            price[minutes == PRINT], volume[minutes == PRINT] = 105.0, 5_000.0
        kept = minutes < 0 if market == "c-ethusd" else minutes == minutes
        rows = zip((AT + MINUTE * minutes[kept]).tolist(), price[kept].tolist(), volume[kept].tolist(), strict=True)
        write(folder, f"{market}.csv.gz", HEADER, *(f"{time},{p},{p},{p},{p},{v}" for time, p, v in rows))


@pytest.mark.slow
def test_each_kind_finds_what_it_is_for_and_nothing_else(store_server, redis, tmp_path: Path) -> None:
    make_candles(tmp_path / "candles")
    (tmp_path / "rules.toml").write_text(RULES)
    began = int(time.time())
    feed = Replay(tmp_path / "candles", began, AT)
    printed = AT + PRINT * MINUTE + feed.shift
    with Exchange(create_app(feed, Clock(began, SPEED))) as exchange:
        variables = {
            "REDIS_URL": store_server.url, "RULES": str(tmp_path / "rules.toml"), "INTERVAL": "20",
            "DATA_DIR": str(tmp_path), "CLOCK_START": str(began), "CLOCK_SPEED": str(SPEED),
            "SIMULATOR_START": str(began), "SIMULATOR_URL": exchange.url, "WORKER_POOL": "threads",
        }  # fmt: skip
        with Parts(tmp_path, **variables) as parts, connect(store_server.url) as client:
            start(parts)
            outbox = Outbox(client)
            expected = {"busy-rise", "off", "quiet", "wild"}
            wait_for(lambda: {alert.rule for alert in outbox.newest()} >= expected, "an alert of each kind", 120)
            found = outbox.newest()
    alerts = {alert.rule: alert for alert in found}
    assert {(alert.rule, alert.metric) for alert in alerts.values()} == {
        ("busy-rise", "a:btcusd:volume"), ("off", "a:btcusd:price"), ("quiet", "c:ethusd:volume"),
        ("wild", "a:btcusd:volume"),
    }  # fmt: skip
    assert len(found) == 4
    assert (alerts["busy-rise"].slot, alerts["off"].slot) == (printed, printed)
    assert alerts["quiet"].slot == printed
    assert (alerts["off"].value, alerts["off"].baseline) == (105, 100)
    assert alerts["wild"].details == {"position": 1, "of": 6, "by": "stddev"}
