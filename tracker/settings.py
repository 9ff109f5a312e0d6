"""Reads the configuration from environment variables. Every variable is here, with its default and its meaning.

Any variable may come from a file: ``REDIS_URL_FILE=/run/secrets/redis`` reads REDIS_URL from that file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from tracker.clock import Clock
from tracker.environment import read, refuse, variable
from tracker.flower import HTTP, Flower, check_flower
from tracker.servers import PORT, Servers, check_replica
from tracker.variables import (
    PerSource,
    address,
    aliases,
    allowed,
    globs,
    key,
    markets_per_task,
    number,
    one_of,
    or_empty,
    origins,
    path,
    per_source,
    source_names,
    step,
    words,
    yes_or_no,
)

if TYPE_CHECKING:
    from tracker.series.ring import Ring


@dataclass(frozen=True)
class Settings(Flower, Servers):
    """All configuration, validated. Made by ``load``."""

    bind: str = variable(
        "BIND_ADDRESS", "127.0.0.1", address, "IPv4 address that API, Flower and simulated exchange listen on"
    )
    api_port: int = variable("API_PORT", "8000", PORT, "port of the API")
    api_cache_mb: int = variable("API_CACHE_MB", "64", number(0, 100_000), "MB of answers that each API process keeps")
    api_reads: str = variable(
        "API_READS", "open", one_of("open", "key"), "open: everybody may read the API; key: only with an API key"
    )
    api_open: bool = variable(
        "API_OPEN", "no", yes_or_no, "yes: other machines may reach the API although there is no API key"
    )
    api_rate: int = variable("API_RATE", "0", number(0, 1_000_000), "requests per minute from one address; 0: no limit")
    api_key_rate: int = variable(
        "API_KEY_RATE", "0", number(0, 1_000_000), "requests per minute with one API key; 0: no limit"
    )
    api_rate_fail: str = variable(
        "API_RATE_FAIL",
        "open",
        one_of("open", "closed"),
        "if requests cannot be counted: open answers them, closed refuses them",
    )
    api_cors: tuple[str, ...] = variable(
        "API_CORS", "", origins, "origins of web pages that may read the API, comma-separated, or *"
    )
    trusted_proxies: int = variable(
        "TRUSTED_PROXIES", "0", number(0, 10), "number of proxies in front of the API whose X-Forwarded-For is trusted"
    )
    public_url: str = variable(
        "PUBLIC_URL",
        "",
        or_empty(HTTP, ""),
        "URL of the dashboard as people reach it, e.g. https://tracker.example: notices link to it; empty: no links",
    )
    metrics_port: int = variable(
        "METRICS_PORT", "9808", number(0, 65_535), "port of the page for Prometheus of workers and beats; 0: none"
    )
    metrics_bind: str = variable("METRICS_BIND", "127.0.0.1", address, "IPv4 address that this page listens on")
    metrics_open: bool = variable(
        "METRICS_OPEN", "no", yes_or_no, "yes: other machines may reach this page, which asks for no key"
    )
    sources: tuple[str, ...] = variable(
        "SOURCES", "simulator", source_names, "where samples come from, comma-separated"
    )
    intervals: PerSource = variable(
        "INTERVAL",
        "60",
        per_source(number(1, 3_600, float), 60.0),
        "seconds between two fetches of a market; per source",
    )
    feeds: PerSource = variable(
        "FEED", "candles", per_source(one_of("candles", "tickers"), "candles"),
        "candles, or tickers: all prices in one request and no volumes; per source",
    )  # fmt: skip
    pairs: PerSource = variable("PAIRS", "*", per_source(globs, ("*",)), "patterns of pairs to track; per source")
    quotes: PerSource = variable(
        "QUOTES", "", per_source(globs, ()), "quote currencies to track; empty: all; per source"
    )
    tops: PerSource = variable(
        "TOP",
        "",
        per_source(number(1, 100_000), None),
        "track only this many markets, the most traded in 24 h; empty: all; per source",
    )
    aliases: PerSource = variable(
        "ALIASES", "", per_source(aliases, {}), "renamed currencies that keep their history, e.g. matic:pol; per source"
    )
    budgets: PerSource = variable(
        "BUDGET",
        "",
        per_source(allowed, None),
        "requests/seconds, e.g. 15/15; empty: the documented limit of the source; per source",
    )
    step: int = variable("STEP", "60", step, "seconds per slot: 60, 180, 300, 900, 1800 or 3600")
    markets_per_task: int | None = variable(
        "MARKETS_PER_TASK",
        "auto",
        markets_per_task,
        "markets per fetch task; auto: 1, or more to make at most 100 tasks",
    )
    fetch_concurrency: int = variable("FETCH_CONCURRENCY", "4", number(1, 256), "processes of a fetch worker")
    evaluate_concurrency: int = variable("EVALUATE_CONCURRENCY", "2", number(1, 256), "processes of an evaluate worker")
    notify_concurrency: int = variable("NOTIFY_CONCURRENCY", "4", number(1, 256), "processes of a notify worker")
    worker_pool: str = variable("WORKER_POOL", "prefork", one_of("prefork", "threads"), "prefork or threads")
    log_level: str = variable(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "debug, info, warning or error"
    )
    heartbeat_url: str = variable(
        "HEARTBEAT_URL",
        "",
        or_empty(HTTP, ""),
        "URL that is told every minute whether beat, workers and store work, as healthchecks.io takes it; empty: none",
        secret=True,
    )
    log_format: str = variable("LOG_FORMAT", "text", one_of("text", "json"), "how log lines are written: text or json")
    sentry_dsn: str = variable(
        "SENTRY_DSN", "", or_empty(HTTP, ""), "where to report errors, if sentry-sdk is installed", secret=True
    )
    otel_endpoint: str = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        or_empty(HTTP, ""),
        "where to send traces, if OpenTelemetry is installed, e.g. http://127.0.0.1:4318",
    )
    rules: str = variable(
        "RULES", "", path, "file of rules and channels; empty: the built-in rule, which notifies the log"
    )
    cryptowatch_url: str = variable(
        "CRYPTOWATCH_URL", "https://api.cryptowat.ch", HTTP, "URL of the source `cryptowatch`"
    )
    cryptowatch_key: str = variable(
        "CRYPTOWATCH_KEY", "", key, "API key for the source `cryptowatch`, if any", secret=True
    )
    exchange_url: PerSource = variable(
        "EXCHANGE_URL", "", per_source(HTTP, ""), "URL of an exchange; empty: its own address; per source"
    )
    simulator_given: str = variable(
        "SIMULATOR_URL", "", or_empty(HTTP, ""), "URL of the source `simulator`; empty: on this machine"
    )
    simulator_port: int = variable("SIMULATOR_PORT", "8008", PORT, "port of the simulated exchange")
    simulator_markets: int = variable("SIMULATOR_MARKETS", "60", number(1, 100_000), "number of generated markets")
    simulator_exchanges: int = variable(
        "SIMULATOR_EXCHANGES", "3", number(1, 100), "number of exchanges that have the generated markets"
    )
    simulator_seed: int = variable("SIMULATOR_SEED", "1", number(0, 2**32 - 1), "seed of the generated markets")
    simulator_candles: str = variable(
        "SIMULATOR_CANDLES", "", path, "folder of candle files to replay instead of generated markets"
    )
    simulator_at: int | None = variable(
        "SIMULATOR_AT",
        "",
        or_empty(number(0, 2**40), None),
        "opening time (Unix) of the candle that is replayed first; empty: the last candle",
    )
    simulator_start: float | None = variable(
        "SIMULATOR_START",
        "",
        or_empty(number(0, 2**40, float), None),
        "Unix time at which that candle opens; empty: now",
    )
    simulator_budget: float | None = variable(
        "SIMULATOR_BUDGET",
        "",
        or_empty(number(0, 1e9, float), None),
        "credits per day before the simulated exchange answers 429; empty: no limit",
    )
    simulator_keys: tuple[str, ...] = variable(
        "SIMULATOR_KEYS", "", words, "API keys that the simulated exchange knows, comma-separated", True
    )
    clock_start: float = variable(
        "CLOCK_START", "0", number(0, 2**40, float), "Unix time from which CLOCK_SPEED counts"
    )
    clock_speed: float = variable(
        "CLOCK_SPEED", "1", number(1, 60, float), "how fast time runs for everything, to replay a day in minutes"
    )

    @property
    def simulator_url(self) -> str:
        return self.simulator_given or self.local_url(self.simulator_port)

    def local_url(self, port: int, bind: str = "") -> str:
        """The URL, on this machine, of a part that listens on ``port`` of the address ``bind``; "": of BIND_ADDRESS."""
        bind = bind or self.bind
        return f"http://{'127.0.0.1' if bind == '0.0.0.0' else bind}:{port}"

    @property
    def on_network(self) -> bool:
        """Whether other machines may reach the address ``bind``."""
        return _on_network(self.bind)

    @property
    def flower_bind(self) -> str:
        return self.flower_given or self.bind

    @property
    def flower_refused(self) -> str:
        """Why Flower must not start; empty if it may. It can stop workers, so others must log in to reach it."""
        if self.flower_asks or self.flower_open or not _on_network(self.flower_bind):
            return ""
        name = "FLOWER_BIND" if self.flower_given else "BIND_ADDRESS"
        return (
            f"{name}={self.flower_bind}: expected a login before others can reach Flower, which can stop workers: set "
            "FLOWER_BASIC_AUTH=user:password, or FLOWER_BIND=127.0.0.1 to show it to this machine only"
        )

    @cached_property
    def ring(self) -> "Ring":
        from tracker.series.ring import Ring  # with numpy, which a health check can do without

        return Ring(self.step)

    @cached_property
    def clock(self) -> Clock:
        return Clock(self.clock_start, self.clock_speed)


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the Settings. Raises SettingsError with the variable, its value (unless secret) and what was expected."""
    loaded = read(Settings, environment)
    for each in fields(Settings):
        value = getattr(loaded, each.name)
        if isinstance(value, PerSource) and (unknown := sorted(value.own.keys() - set(loaded.sources))):
            refuse(each.metadata["name"], repr(f"{unknown[0]:.60}=..."), f"a source out of SOURCES: {loaded.sources}")
    check_replica(loaded)
    if not loaded.metrics_open and _on_network(loaded.metrics_bind):
        refuse("METRICS_BIND", loaded.metrics_bind, "127.0.0.1, or METRICS_OPEN=yes, as the page asks for no key")
    check_flower(loaded)
    return loaded


@cache
def settings() -> Settings:
    """The Settings of this process, read once."""
    return load()


def _on_network(address: str) -> bool:
    """Whether other machines may reach an IPv4 ``address`` of this machine."""
    return not IPv4Address(address).is_loopback
