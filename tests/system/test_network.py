"""Workers on another machine: the wire to the store and the exchange is cut for a minute, and comes back."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from redis import Redis

from tests.support.made_candles import MadeCandles
from tests.support.network import HERE, THERE, Network
from tests.support.processes import LocalProcess
from tests.support.servers import wait_for
from tests.support.stack import CLEAN
from tracker.alerts.outbox import Outbox
from tracker.clock import Clock
from tracker.series.ring import Ring
from tracker.store.connection import PREFIX
from tracker.store.embedded import binary
from tracker.store.series import Store

#: Seconds for which the wire is cut, and seconds after which fetches must be stored again.
CUT, BACK = 60, 15
#: How fast time runs, and seconds of that time between two ticks.
SPEED, INTERVAL = 2, 5
STORE, EXCHANGE = 6379, 8008


class Site:
    """The store, the exchange and a beat on the machine HERE, workers on THERE."""

    def __init__(self, folder: Path, network: Network):
        self.folder, self.network = folder, network
        self.clock = Clock(int(time.time()), SPEED)
        self.candles = MadeCandles(folder / "candles", self.clock)
        self.socket = str(folder / "store.sock")  # this process is on neither machine
        self.redis = Redis(unix_socket_path=self.socket)
        self.store, self.outbox = Store(self.redis, Ring()), Outbox(self.redis)
        self.started = ExitStack()

    def start(self) -> None:
        host, tracker = self.network.address[HERE], (sys.executable, "-m", "tracker")
        urls = {"REDIS_URL": f"redis://{host}:{STORE}/0", "SIMULATOR_URL": f"http://{host}:{EXCHANGE}"}
        listen = ("--bind", host, "--port", str(STORE), "--unixsocket", self.socket, "--protected-mode", "no")
        self.run(HERE, "store", (str(binary()), *listen, "--dir", str(self.folder)), "Ready to accept connections")
        self.run(HERE, "exchange", (*tracker, "simulate"), "simulator: http", {"BIND_ADDRESS": host})
        self.run(HERE, "beat", (*tracker, "beat"), "beat: Starting", urls)
        self.workers = [
            self.run(THERE, queue, ("./scripts/start-worker.sh", queue, "--concurrency", "2"), "ready.", urls)
            for queue in ("fetch", "evaluate", "notify")
        ]

    def run(
        self, machine: str, name: str, command: tuple[str, ...], prompt: str, variables: dict[str, str] | None = None
    ) -> LocalProcess:
        """Runs a part with ``variables``. All parts know the clock and INTERVAL, as README says."""
        own = {"INTERVAL": str(INTERVAL), "DATA_DIR": str(self.folder / machine), "VENV": sys.prefix}
        environment = CLEAN | self.candles.variables | own | (variables or {})
        process = LocalProcess(name, self.network.on(machine, *command), self.folder, prompt, environment)
        self.started.callback(process.teardown)
        process.ready()
        return process

    def pids(self) -> set[int]:
        """The ids of all workers and of their children."""
        mains = [psutil.Process(worker.process.pid) for worker in self.workers]
        return {each.pid for main in mains for each in (main, *main.children(recursive=True))}

    def newest(self) -> float:
        """When a worker last took a tick and the exchange's answers were stored, by this site's clock."""
        ticks = [float(key.rpartition(b":")[2]) for key in self.redis.keys(f"{PREFIX}:tick:simulator:*")]
        return min(max(ticks, default=0), float(self.store.status("simulator")["last_success"]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Network() as network:
        site = Site(tmp_path, network)
        with site.redis, site.started:
            site.start()
            yield site


@pytest.mark.program("ip")
def test_a_wire_that_is_cut_for_a_minute_loses_nothing(site: Site) -> None:
    wait_for(lambda: len(site.store.ranking("price")) == len(site.candles.markets), "every market is ranked", 60)
    pids = site.pids()
    site.network.cut()
    cut, end = site.clock.now(), time.time() + CUT
    wait_for(lambda: time.time() > end, "the wire is cut for a minute", CUT + 1)
    assert site.newest() < cut + INTERVAL
    site.network.mend()
    mended = site.clock.now()
    wait_for(lambda: site.newest() > mended, "ticks are taken and answers are stored again", BACK)
    site.candles.assert_kept(site.store, site.outbox)
    assert site.pids() == pids
