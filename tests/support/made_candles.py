"""Made-up candles with an alert in nearly every minute, and what the tracker must make of them.

That is computed here from the candles, with numpy alone. ``candle_books`` does the same for real candles.
"""

from pathlib import Path

import numpy as np

from tests.support.candle_files import HEADER, write
from tests.support.servers import wait_for
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.store.series import Store

PAIRS = [f"{base}usd" for base in ("btc", "eth", "xrp", "ltc", "ada", "sol", "dot", "eos", "xlm", "xmr", "etc", "uni")]
MINUTE = 60
#: The candle of this time is the one in progress when the exchange starts. BEFORE and AFTER it there are minutes.
AT, BEFORE, AFTER = 1_700_000_040, 25 * 60, 60
#: The first minutes after the start have no spike: whether they are seen in time depends on how fast all starts.
QUIET = 1
#: A spike is as many times the usual volume.
SPIKE = 30


class MadeCandles:
    """Candles of two exchanges with 12 markets each, in ``folder``. Each market has one minute of a great volume."""

    def __init__(self, folder: Path, clock: Clock):
        self.folder, self.clock = folder, clock
        self.opened = int(clock.now() // MINUTE * MINUTE)
        self.markets = [f"{exchange}:{pair}" for exchange in ("kraken", "bitfinex") for pair in PAIRS]
        random = np.random.default_rng(5)
        shape = len(self.markets), BEFORE + AFTER
        self.price = (100 * np.exp(0.001 * random.standard_normal(shape).cumsum(axis=1))).round(2)
        self.volume = random.uniform(1, 2, shape).round(4)
        self.volume[np.arange(len(self.markets)), BEFORE + QUIET + np.arange(len(self.markets)) // 4] *= SPIKE
        folder.mkdir()
        for market, price, volume in zip(self.markets, self.price, self.volume, strict=True):
            times = AT + MINUTE * np.arange(-BEFORE, AFTER)
            rows = [f"{time},{p},{p},{p},{p},{v}" for time, p, v in zip(times, price, volume, strict=True)]
            write(folder, f"{market.replace(':', '-')}.csv.gz", HEADER, *rows)

    @property
    def variables(self) -> dict[str, str]:
        """Settings of the exchange and of everything that uses its clock."""
        return {
            "SIMULATOR_CANDLES": str(self.folder), "SIMULATOR_AT": str(AT), "SIMULATOR_START": f"{self.opened}",
            "CLOCK_START": f"{self.clock.start:.0f}", "CLOCK_SPEED": f"{self.clock.speed:g}",
        }  # fmt: skip

    def minutes_since_start(self) -> int:
        """Minutes that have closed since the exchange started."""
        return int(self.clock.now() - self.opened) // MINUTE

    def alerts(self, until: int) -> set[tuple[str, int]]:
        """(metric, slot) of each volume above 3 x its mean of the hour before, in the first ``until`` minutes."""
        found = set()
        for market, volumes in zip(self.markets, self.volume, strict=True):
            for minute in range(until):
                at = BEFORE + minute
                if volumes[at] > 3 * volumes[at - 60 : at].mean():
                    found.add((f"{market}:volume", self.opened + minute * MINUTE))
        return found

    def assert_kept(self, store: Store, outbox: Outbox) -> None:
        """All samples of closed minutes are stored, each alert is recorded once, and each has been delivered."""
        until = self.minutes_since_start()
        wait_for(lambda: not self._differences(store, until), f"all is stored: {self._differences(store, until)}")
        expected = self.alerts(until)
        assert len(expected) >= 4
        wait_for(lambda: expected <= set(self._recorded(outbox)), f"missing: {expected - set(self._recorded(outbox))}")
        recorded = self._recorded(outbox)
        assert len(recorded) == len(set(recorded))
        assert set(recorded) <= self.alerts(self.minutes_since_start() + 1)
        rows = [f"{alert.id}/log/firing" for alert in outbox.newest(1_000)]
        wait_for(lambda: {row.state for row in outbox.deliveries.all(rows)} == {"delivered"}, "all are delivered")

    def _recorded(self, outbox: Outbox) -> list[tuple[str, int]]:
        return [(alert.metric, alert.slot) for alert in outbox.newest(1_000)]

    def _differences(self, store: Store, until: int) -> list[str]:
        """What is stored otherwise than served, in the day before the minute ``until``."""
        now = self.clock.now()
        stored = store.windows(self.markets, now).values[:, :, :-1]
        slots = store.ring.slots(now)[:-1]
        at = (slots - self.opened) // MINUTE
        looked_at = slots < self.opened + until * MINUTE
        served = np.stack([self.price[:, BEFORE + at], self.volume[:, BEFORE + at]])
        wrong = (stored != served)[:, :, looked_at].any(axis=0)
        return [f"{self.markets[row]} at {slots[column]}" for row, column in np.argwhere(wrong)[:5]]
