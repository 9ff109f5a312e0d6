"""What settings read from the environment: defaults, good values, and what is said of bad ones."""

from pathlib import Path

import pytest

from tracker import settings as module
from tracker.clock import Clock
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.variables import Allowed, PerSource

DEFAULTS = {
    "redis_given": "",
    "redis_url": "redis://127.0.0.1:6390/0",
    "redis_password": "",
    "sentinel_password": "",
    "broker_given": "",
    "broker_url": "redis://127.0.0.1:6390/0",
    "store_port": 6_390,
    "store_password": "",
    "data_dir": Path("var"),
    "bind": "127.0.0.1",
    "api_port": 8_000,
    "api_cache_mb": 64,
    "public_url": "",
    "api_reads": "open",
    "api_open": False,
    "api_rate": 0,
    "api_key_rate": 0,
    "api_rate_fail": "open",
    "api_cors": (),
    "trusted_proxies": 0,
    "flower_port": 5_555,
    "flower_given": "",
    "flower_bind": "127.0.0.1",
    "flower_open": False,
    "flower_refused": "",
    "flower_prefix": "",
    "flower_logins": "",
    "flower_emails": "",
    "flower_provider": "",
    "flower_oauth_key": "",
    "flower_oauth_secret": "",
    "flower_oauth_redirect": "",
    "flower_okta_url": "",
    "metrics_port": 9_808,
    "metrics_bind": "127.0.0.1",
    "metrics_open": False,
    "sources": ("simulator",),
    "intervals": PerSource(60.0, {}),
    "feeds": PerSource("candles", {}),
    "pairs": PerSource(("*",), {}),
    "quotes": PerSource((), {}),
    "tops": PerSource(None, {}),
    "aliases": PerSource({}, {}),
    "budgets": PerSource(None, {}),
    "step": 60,
    "markets_per_task": None,
    "fetch_concurrency": 4,
    "evaluate_concurrency": 2,
    "notify_concurrency": 4,
    "worker_pool": "prefork",
    "log_level": "info",
    "heartbeat_url": "",
    "rules": "",
    "cryptowatch_url": "https://api.cryptowat.ch",
    "cryptowatch_key": "",
    "exchange_url": PerSource("", {}),
    "simulator_url": "http://127.0.0.1:8008",
    "simulator_port": 8_008,
    "simulator_markets": 60,
    "simulator_exchanges": 3,
    "simulator_seed": 1,
    "simulator_candles": "",
    "simulator_at": None,
    "simulator_start": None,
    "simulator_budget": None,
    "simulator_keys": (),
    "clock_start": 0.0,
    "clock_speed": 1.0,
    "clock": Clock(),
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """A working directory without a ``var`` and a password in it."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_of(name):
    assert getattr(load({}), name) == DEFAULTS[name]


def test_every_variable_says_what_it_means():
    for field in module.fields(module.Settings):
        assert field.metadata["name"].isupper() and field.metadata["meaning"]


GOOD = {
    ("REDIS_URL", "redis://:pw@db.example:6379/1"): ("redis_url", "redis://:pw@db.example:6379/1"),
    ("REDIS_URL", "rediss://db.example"): ("redis_url", "rediss://db.example:6379/0"),
    ("REDIS_URL", "rediss://db/0?ssl_cert_reqs=none"): ("redis_url", "rediss://db:6379/0?ssl_cert_reqs=none"),
    ("REDIS_URL", "unix:///run/redis.sock"): ("redis_url", "unix:///run/redis.sock"),
    ("REDIS_URL", "redis+sentinel://:pw@a,b:26380/2?master=m"): (
        "redis_url",
        "redis+sentinel://:pw@a:26379,b:26380/2?master=m",
    ),
    ("REDIS_URL", "redis+cluster://a:7001,b"): ("redis_url", "redis+cluster://a:7001,b:6379"),
    ("REDIS_READ_URL", "redis+sentinel://a?master=m"): (
        "redis_read_url",
        "redis+sentinel://a:26379/0?master=m",
    ),
    ("BROKER_URL", "amqps://me:pw@mq.example/tasks"): ("broker_url", "amqps://me:pw@mq.example/tasks"),
    ("BROKER_URL", "redis://mq.example"): ("broker_url", "redis://mq.example:6379/0"),
    ("STORE_PORT", "7000"): ("redis_url", "redis://127.0.0.1:7000/0"),
    ("SIMULATOR_PORT", "7001"): ("simulator_url", "http://127.0.0.1:7001"),
    ("SOURCES", "cryptowatch, simulator"): ("sources", ("cryptowatch", "simulator")),
    ("SOURCES", "kraken,coinbaseexchange"): ("sources", ("kraken", "coinbaseexchange")),
    ("INTERVAL", "2.5"): ("intervals", PerSource(2.5, {})),
    ("INTERVAL", "2.5; simulator = 30"): ("intervals", PerSource(2.5, {"simulator": 30.0})),
    ("INTERVAL", "simulator=30"): ("intervals", PerSource(60.0, {"simulator": 30.0})),
    ("FEED", "simulator=Tickers"): ("feeds", PerSource("candles", {"simulator": "tickers"})),
    ("PAIRS", "BTC*, *eur; simulator=eth*"): ("pairs", PerSource(("btc*", "*eur"), {"simulator": ("eth*",)})),
    ("QUOTES", "usd,eur;simulator="): ("quotes", PerSource(("usd", "eur"), {"simulator": ()})),
    ("TOP", "100"): ("tops", PerSource(100, {})),
    ("ALIASES", "MATIC:POL, ftm:s"): ("aliases", PerSource({"pol": "matic", "s": "ftm"}, {})),
    ("ALIASES", "a:b,b:c"): ("aliases", PerSource({"b": "a", "c": "b"}, {})),
    ("INTERVAL", "6e1"): ("intervals", PerSource(60.0, {})),
    ("BUDGET", "simulator=15/10"): ("budgets", PerSource(None, {"simulator": Allowed(15, 10)})),
    ("EXCHANGE_URL", "simulator=http://a/?b=c"): ("exchange_url", PerSource("", {"simulator": "http://a/?b=c"})),
    ("STEP", "3600"): ("step", 3_600),
    ("MARKETS_PER_TASK", "20"): ("markets_per_task", 20),
    ("WORKER_POOL", "Threads"): ("worker_pool", "threads"),
    ("LOG_LEVEL", "DEBUG"): ("log_level", "debug"),
    ("CRYPTOWATCH_URL", "http://[::1]:80/base/"): ("cryptowatch_url", "http://[::1]:80/base"),
    ("SIMULATOR_KEYS", "a, b,,"): ("simulator_keys", ("a", "b")),
    ("SIMULATOR_AT", "1516424100"): ("simulator_at", 1_516_424_100),
    ("CLOCK_SPEED", "60"): ("clock_speed", 60.0),
    ("API_PORT", ""): ("api_port", 8_000),
    ("API_OPEN", "Yes"): ("api_open", True),
    ("API_CORS", "https://a.example, http://localhost:3000"): (
        "api_cors",
        ("https://a.example", "http://localhost:3000"),
    ),
    ("API_CORS", "*"): ("api_cors", ("*",)),
}


@pytest.mark.parametrize(("variable", "expected"), GOOD.items())
def test_a_good_value_is_taken(variable, expected):
    name, value = expected
    assert getattr(load(dict([variable])), name) == value


BAD = [
    ("REDIS_URL", "localhost:6379", "a URL that begins with one of redis://, rediss://, unix://"),
    ("REDIS_URL", "unix://run/redis.sock", "a socket with its whole path"),
    ("REDIS_URL", "redis://a,b", "of one host"),
    ("REDIS_URL", "redis://host/cache", "whose database is a number"),
    ("REDIS_URL", "redis+sentinel://a:26379/0", "names the master"),
    ("REDIS_URL", "redis+cluster://a:7001/1", "a cluster without a database"),
    ("REDIS_URL", "redis://a/0?ssl_cert_reqs=none", "after a scheme that begins with rediss"),
    ("REDIS_READ_URL", "redis+cluster://a:7001", "a cluster spreads its reads over its servers by itself"),
    ("REDIS_READ_URL", "redis+sentinel://a:26379/0", "names the master"),
    ("REDIS_READ_URL", "redis://me:hunter2@a/1", "redis://a:6379/1: expected database 0, as in REDIS_URL"),
    ("BROKER_URL", "rabbit", "a URL such as amqp://"),
    ("BROKER_URL", "amqp://me\n@host", "a URL such as amqp://"),
    ("BROKER_URL", "redis+cluster://a", "redis:// or unix:// or redis+sentinel://"),
    ("REDIS_URL", "redis://", "names a host"),
    ("REDIS_URL", "redis://host:port", "written host:port"),
    ("REDIS_URL", "redis://[::1", "written host:port"),
    ("REDIS_URL", "http://host", "redis://"),
    ("REDIS_URL", "redis://host/0?db=1", "no options but those of TLS"),
    ("STORE_PORT", "0", "a whole number from 1 to 65535"),
    ("API_PORT", "65536", "a whole number from 1 to 65535"),
    ("API_PORT", "80.5", "a whole number"),
    ("FLOWER_PORT", "five", "a whole number"),
    ("FLOWER_BASIC_AUTH", "admin", "user:password"),
    ("FLOWER_BASIC_AUTH", "a:b,", "user:password"),
    ("FLOWER_URL_PREFIX", "flower", "a path such as /flower"),
    ("SIMULATOR_PORT", "1e3", "a whole number"),
    ("SOURCES", ",", "a comma-separated list"),
    ("SOURCES", "simulator,simulator", "each once"),
    ("INTERVAL", "0", "a number from 1 to 3600"),
    ("INTERVAL", "nan", "a number from 1 to 3600"),
    ("INTERVAL", "inf", "a number from 1 to 3600"),
    ("INTERVAL", "1 minute", "a number from 1 to 3600"),
    ("SOURCES", "../exchange", "exchanges as ccxt calls them"),
    ("INTERVAL", "60; simulator=often", "a number from 1 to 3600"),
    ("FEED", "trades", "one of candles, tickers"),
    ("PAIRS", "btc/usd", "patterns of pairs"),
    ("TOP", "all", "a whole number from 1 to 100000"),
    ("ALIASES", "matic", "old:new currencies"),
    ("ALIASES", "a:b,b:a", "no circle of names"),
    ("ALIASES", "a:b,b:c,c:a", "no circle of names"),
    ("ALIASES", "a:a", "no circle of names"),
    ("ALIASES", "a:b,c:b", "each currency once as an old and once as a new name"),
    ("ALIASES", "a:b,a:c", "each currency once as an old and once as a new name"),
    ("ALIASES", "a:b,a:b", "each currency once as an old and once as a new name"),
    ("ALIASES", "a b:c", "old:new currencies"),
    ("STORE_PORT", "\u0666\u0663\u0669\u0660", "a whole number"),  # 6390 in Arabic digits
    ("STORE_PORT", "\uff11", "a whole number"),
    ("STORE_PORT", "6_390", "a whole number"),
    ("STORE_PORT", " 6390", "a whole number"),
    ("STORE_PORT", "9" * 5_000, "a whole number"),
    ("CLOCK_SPEED", "1_0", "a number from 1 to 60"),
    ("CLOCK_SPEED", "\u0663", "a number from 1 to 60"),
    ("CLOCK_SPEED", "1e999", "a number from 1 to 60"),
    ("BUDGET", "\u0661/1", "requests/seconds"),
    ("TOP", "1_0", "a whole number"),
    ("MARKETS_PER_TASK", "\u0661", "a whole number from 1 to 10,000"),
    ("SOURCES", "k" * 300, "a comma-separated list"),
    ("CRYPTOWATCH_URL", "http://ho\nst", "http://"),
    ("DATA_DIR", "a\x00b", "a path of printable characters"),
    ("RULES", "a\nb", "a path of printable characters"),
    ("BUDGET", "15", "requests/seconds"),
    ("BUDGET", "15/0", "requests/seconds"),
    ("EXCHANGE_URL", "simulator=api.kraken.com", "http:// or https://"),
    ("STEP", "61", "one of 60, 180, 300, 900, 1800, 3600"),
    ("MARKETS_PER_TASK", "0", "auto, or a whole number from 1 to 10,000"),
    ("MARKETS_PER_TASK", "many", "auto, or a whole number"),
    ("FETCH_CONCURRENCY", "257", "from 1 to 256"),
    ("EVALUATE_CONCURRENCY", "-1", "from 1 to 256"),
    ("WORKER_POOL", "gevent", "one of prefork, threads"),
    ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
    ("HEARTBEAT_URL", "hc-ping.com/hunter2", "a URL that begins with http:// or https://"),
    ("CRYPTOWATCH_URL", "ftp://host", "http:// or https://"),
    ("CRYPTOWATCH_URL", "http://host:99999", "http://"),
    ("SIMULATOR_URL", "8008", "http://"),
    ("SIMULATOR_MARKETS", "0", "from 1 to 100000"),
    ("SIMULATOR_EXCHANGES", "101", "from 1 to 100"),
    ("SIMULATOR_SEED", "-1", "from 0 to"),
    ("SIMULATOR_AT", "yesterday", "a whole number"),
    ("SIMULATOR_START", "nan", "a number"),
    ("SIMULATOR_BUDGET", "-1", "a number"),
    ("CLOCK_START", "-1", "a number"),
    ("CLOCK_SPEED", "0", "a number from 1 to 60"),
    ("BIND_ADDRESS", "localhost", "an IPv4 address"),
    ("API_CACHE_MB", "-1", "from 0 to 100000"),
    ("API_READS", "all", "one of open, key"),
    ("API_OPEN", "true", "one of yes, no"),
    ("API_RATE", "10/s", "a whole number"),
    ("API_KEY_RATE", "-1", "a whole number"),
    ("API_RATE_FAIL", "shut", "one of open, closed"),
    ("API_CORS", "charts.example", "http:// or https://"),
    ("API_CORS", "https://charts.example/path", "origins such as"),
    ("TRUSTED_PROXIES", "many", "a whole number"),
    ("STORE_PASSWORD", "hunter 2", "letters, digits"),
    ("STORE_PASSWORD", "hunter2\nport 1", "letters, digits"),
    ("STORE_PASSWORD", 'hunter"2', "letters, digits"),
]
SECRET = {field.metadata["name"] for field in module.fields(module.Settings) if field.metadata["secret"]}


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_a_bad_value_is_named_with_what_was_expected(name, value, expected):
    with pytest.raises(SettingsError) as refusal:
        load({name: value})
    text = str(refusal.value)
    assert text.startswith(f"{name}=")
    assert (repr(value)[:200] in text) == (name not in SECRET)
    assert len(text) < 1_000
    assert "expected" in text and expected in text


@pytest.mark.parametrize(
    "value", ["redis//:hunter2@host", "http://:hunter2@host", "redis://:hunter2@host:x", "hunter2"]
)
def test_a_secret_is_in_no_message_and_no_cause(value, tmp_path):
    (tmp_path / "url").write_text(value)
    for environment in ({"REDIS_URL": value}, {"REDIS_URL_FILE": str(tmp_path / "url")}):
        with pytest.raises(SettingsError) as refusal:
            load(environment)
        error = refusal.value
        while error:
            assert "hunter2" not in str(error)
            error = error.__cause__ or error.__context__


def test_a_secret_is_not_in_what_settings_show_of_themselves():
    url, login = "redis://:hunter2@host", "me:hunter2"
    urls = {"REDIS_URL": url, "REDIS_READ_URL": url, "BROKER_URL": url, "FLOWER_BASIC_AUTH": login,
            "HEARTBEAT_URL": "http://host/hunter2", "SENTRY_DSN": "https://hunter2@host/1"}  # fmt: skip
    settings = load(dict.fromkeys(SECRET - {"FLOWER_OAUTH2_SECRET"}, "hunter2") | urls)
    assert "hunter2" not in repr(settings)


def test_the_passwords_of_the_store_may_be_given_apart_from_its_url(tmp_path):
    (tmp_path / "password").write_text("hunter@2\n")
    files = {"REDIS_PASSWORD_FILE": str(tmp_path / "password"), "SENTINEL_PASSWORD_FILE": str(tmp_path / "password")}
    settings = load({"REDIS_URL": "redis+sentinel://me@a/0?master=m"} | files)
    assert settings.redis_url == "redis+sentinel://me:hunter%402@a:26379/0?master=m&sentinel_password=hunter%402"
    assert load({"REDIS_URL": "redis://:own@a"} | files).redis_url == "redis://:own@a:6379/0"
    assert load({"BROKER_URL": "redis://a"} | files).broker_url == "redis://a:6379/0"
    assert load({"REDIS_READ_URL": "redis://a"} | files).redis_read_url == "redis://:hunter%402@a:6379/0"


def test_a_replica_fits_the_store_whose_replica_it_is():
    cluster = {"REDIS_URL": "redis+cluster://a:7001"}
    with pytest.raises(
        SettingsError, match=r"REDIS_READ_URL=redis://b:6379/0: expected none, as REDIS_URL is a cluster"
    ):
        load(cluster | {"REDIS_READ_URL": "redis://b"})
    with pytest.raises(SettingsError, match="expected database 2, as in REDIS_URL"):
        load({"REDIS_URL": "redis://a/2", "REDIS_READ_URL": "redis://b"})
    assert load({"REDIS_URL": "redis://a/2", "REDIS_READ_URL": "redis://b/2"}).redis_read_url == "redis://b:6379/2"


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        load({}).step = 300


def test_the_settings_of_a_process_are_read_once(monkeypatch):
    monkeypatch.setenv("API_PORT", "8001")
    module.settings.cache_clear()
    try:
        assert module.settings() is module.settings()
        assert module.settings().api_port == 8_001
    finally:
        module.settings.cache_clear()


def test_a_value_for_a_source_that_is_not_configured_is_refused():
    with pytest.raises(SettingsError, match=r"INTERVAL='krakn=\.\.\.': expected a source out of SOURCES"):
        load({"SOURCES": "kraken", "INTERVAL": "60; krakn=30"})
