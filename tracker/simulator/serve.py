"""Runs the simulated exchange in a process of its own: granian with one worker, because the budget is in its memory."""

import json
import logging
import multiprocessing
import os
import sys
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from tracker import logs, ports
from tracker.clock import Clock, utc
from tracker.settings import Settings
from tracker.simulator.feeds import Feed, Generated, Replay
from tracker.simulator.server import Api, create_app

log = logging.getLogger(__name__)

#: Enough to serve clients while others wait. Few enough that granian does not warn on one core.
THREADS = 3
#: Longest wait for unfinished answers at a stop.
STOP_SECONDS = 5


@dataclass(frozen=True)
class SimulatorConfig:
    """What to simulate and where to serve it.

    candles: folder of candle files, empty for generated markets; at: Unix second in the files, by default the last
    opening time; start: Unix second at which the candle of ``at`` opens, by default now; budget: credits per 24 hours
    for all callers without a key, None for unlimited; keys: accepted API keys.
    """

    host: str = "127.0.0.1"
    port: int = 8008
    seed: int = 1
    markets: int = 60
    exchanges: int = 3
    candles: str = ""
    at: float | None = None
    start: float | None = None
    budget: float | None = None
    keys: tuple[str, ...] = ()
    clock_start: float = 0.0
    clock_speed: float = 1.0

    @property
    def clock(self) -> Clock:
        return Clock(self.clock_start, self.clock_speed)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.bind,
            settings.simulator_port,
            settings.simulator_seed,
            settings.simulator_markets,
            settings.simulator_exchanges,
            settings.simulator_candles,
            settings.simulator_at,
            settings.simulator_start,
            settings.simulator_budget,
            settings.simulator_keys,
            settings.clock_start,
            settings.clock_speed,
        )


def serve(config: SimulatorConfig) -> None:
    """Serves until SIGINT or SIGTERM. Exits with 1 and one line on stderr if the port is taken or the feed is bad."""
    logs.set_up()
    config = replace(config, start=config.clock.now() if config.start is None else config.start)
    try:
        feed = build_feed(config)
        _claim_port(config)
    except (ValueError, OSError) as error:
        sys.exit(f"simulator: {error}")
    server = Granian(
        "tracker.simulator.serve:load",
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=json.loads(Path(logs.__file__).with_name("granian.json").read_text()),
    )
    server.on_startup(lambda: log.info("%s", _banner(config, feed)))
    server.serve(target_loader=partial(load, config), wrap_loader=False)


def build_feed(config: SimulatorConfig) -> Feed:
    """The feed that ``config`` describes; raises ValueError if it describes none."""
    if not config.candles:
        return Generated(config.seed, config.markets, config.exchanges)
    start = config.clock.now() if config.start is None else config.start
    return Replay(Path(config.candles), start, config.at)


def load(config: SimulatorConfig) -> Api:
    """Makes the application. Runs in granian's worker process."""
    logs.set_up()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return create_app(build_feed(config), config.clock, config.budget, config.keys)


def _end_with_parent() -> None:
    """Ends this worker when its parent dies: otherwise it would keep the port from the next simulator."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _claim_port(config: SimulatorConfig) -> None:
    """Raises OSError if the port is taken. Granian would share it with another granian, or print a traceback."""
    try:
        ports.probe(config.host, config.port)
    except OSError as error:
        raise OSError(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error


def _banner(config: SimulatorConfig, feed: Feed) -> str:
    line = f"simulator: http://{config.host}:{config.port}, {len(feed.markets)} markets"
    if isinstance(feed, Replay):
        then = config.clock.now() - feed.shift
        line += (
            f", replaying {config.candles}: it is {utc(then)} there, the candles end at {utc(feed.end - feed.shift)}"
        )
    return line
