"""The variables that say where the store and the broker are, and their URLs. A part of the Settings."""

from dataclasses import dataclass, replace
from pathlib import Path

from tracker.environment import refuse, variable
from tracker.errors import SettingsError
from tracker.redis_address import CLUSTER, SCHEMES, SENTINEL, SERVER, SOCKET, parse
from tracker.variables import broker, key, number, or_empty, path, redis, replica, store_password

PORT = number(1, 65_535)


@dataclass(frozen=True)
class Servers:
    """Where the store and the broker are."""

    redis_given: str = variable(
        "REDIS_URL",
        "",
        or_empty(redis(SERVER, SOCKET, SENTINEL, CLUSTER), ""),
        "the store: Redis or Valkey, 7 or newer, one server, with sentinels or a cluster; empty: the embedded one",
        secret=True,
    )
    redis_password: str = variable(
        "REDIS_PASSWORD",
        "",
        key,
        "password of the store at REDIS_URL and at REDIS_READ_URL, if the URL has none",
        secret=True,
    )
    redis_read_given: str = variable(
        "REDIS_READ_URL",
        "",
        or_empty(replica, ""),
        "a replica of the store, or the sentinels that name the replicas: the API reads from there; empty: from the "
        "store",
        secret=True,
    )
    sentinel_password: str = variable(
        "SENTINEL_PASSWORD", "", key, "password of the sentinels themselves, if their URL has none", secret=True
    )
    broker_given: str = variable(
        "BROKER_URL",
        "",
        or_empty(broker, ""),
        "the broker, which holds the tasks: a URL of Redis, sentinels, RabbitMQ (amqp://) or another broker that "
        "Celery supports; empty: the store",
        secret=True,
    )
    store_port: int = variable("STORE_PORT", "6390", PORT, "port of the embedded store")
    store_password: str = variable(
        "STORE_PASSWORD",
        "",
        store_password,
        "password of the embedded store; empty: the one in DATA_DIR/store/password, made at the first start",
        secret=True,
    )
    data_dir: Path = variable(
        "DATA_DIR", "var", lambda text: Path(path(text)), "folder of the embedded store's data and of all logs"
    )

    @property
    def redis_url(self) -> str:
        """The URL of the store, with its passwords. Raises SettingsError if the password file cannot be read."""
        if self.redis_given:
            return self._with_passwords(self.redis_given, self.redis_password)
        password = self.store_password or _kept(self.password_file)
        return replace(parse(f"redis://127.0.0.1:{self.store_port}/0"), password=password).url

    @property
    def redis_read_url(self) -> str:
        """The URL of the replicas that the API reads from, with its passwords; empty if there are none."""
        return self._with_passwords(self.redis_read_given, self.redis_password) if self.redis_read_given else ""

    @property
    def broker_url(self) -> str:
        """The URL of the broker, with its passwords; the store's unless BROKER_URL is set. Raises as ``redis_url``."""
        if not self.broker_given:
            return self.redis_url
        return self._with_passwords(self.broker_given)

    def _with_passwords(self, url: str, password: str = "") -> str:
        """Adds the passwords that the URL of a Redis lacks."""
        if url.partition("://")[0] not in SCHEMES:
            return url
        address = parse(url)
        return replace(
            address,
            password=address.password or password,
            sentinel_password=address.sentinel_password or (self.sentinel_password if address.master else ""),
        ).url

    @property
    def password_file(self) -> Path:
        """The file of the embedded store's password, if STORE_PASSWORD gives none. embedded.py makes it."""
        return self.store_folder / "password"

    @property
    def store_folder(self) -> Path:
        """The folder of the embedded store."""
        return (self.data_dir / "store").resolve()

    @property
    def redis_socket(self) -> Path | None:
        """The second address of the embedded store. None if ``redis_url`` is another store."""
        return None if self.redis_given else self.store_folder / socket_name(self.store_port)


def socket_name(port: int) -> str:
    """The name of the embedded store's socket, in its folder."""
    return f"{port}.sock"


def check_replica(servers: Servers) -> None:
    """Raises SettingsError if REDIS_READ_URL cannot be a replica of the store, or would show another database."""
    if not servers.redis_read_given:
        return
    store, replica = parse(servers.redis_given or "redis://store"), parse(servers.redis_read_given)
    if store.kind == CLUSTER:
        refuse("REDIS_READ_URL", replica.shown, "none, as REDIS_URL is a cluster, which spreads its reads by itself")
    if store.database != replica.database:
        refuse("REDIS_READ_URL", replica.shown, f"database {store.database}, as in REDIS_URL")


def _kept(file: Path) -> str:
    """The password in ``file``. Empty before the first start, which makes it."""
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        expected = f"a password in {file} that this user can read ({type(error).__name__})"
        raise SettingsError(f"STORE_PASSWORD='': expected {expected}") from None
