"""The embedded store's password: its making, its readers, and its use by every part."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from redis import AuthenticationError, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.store import embedded

pytestmark = pytest.mark.slow  # starts processes


def stranger(port: int, password: str | None = None) -> Redis:
    """A client of the port that fails at once."""
    return Redis(port=port, password=password, retry=Retry(NoBackoff(), 0))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_nobody_reaches_the_store_by_its_port_without_the_password(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server:
        with stranger(server.port) as client, pytest.raises(AuthenticationError):
            client.hset("{dt1}:keys", "forged", "admin")
        with stranger(server.port, "a guess") as client, pytest.raises(AuthenticationError):
            client.ping()
        assert load(server.variables).redis_url == server.url
        with Redis.from_url(server.url) as owner:
            assert owner.ping()


def test_only_its_user_can_read_the_password(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (tmp_path / "store").mkdir()  # an earlier version made the folder, readable by all
        with StoreServer(tmp_path) as server:
            password = (tmp_path / "store" / "password").read_text()
            assert len(password) >= 43
            assert password not in "".join(psutil.Process(server.process.pid).cmdline())
    finally:
        os.umask(before)
    assert mode(tmp_path / "store") == 0o700
    assert mode(tmp_path / "store" / "password") == mode(tmp_path / "store" / "store.conf") == 0o600


def test_a_store_folder_from_before_there_was_a_password_goes_on(tmp_path: Path) -> None:
    before = StoreServer(tmp_path, "--appendfsync", "always")
    before.command = [each for each in before.command if not each.endswith("store.conf")]
    before.url = f"redis://127.0.0.1:{before.port}/0"
    for name in ("password", "store.conf"):
        (tmp_path / "store" / name).unlink()
    with before, Redis.from_url(before.url) as redis:
        redis.set("kept", "value")
    with StoreServer(tmp_path) as upgraded, Redis.from_url(upgraded.url) as redis:
        assert redis.get("kept") == b"value"
        with stranger(upgraded.port) as client, pytest.raises(AuthenticationError):
            client.get("kept")


def test_parts_that_start_at_once_agree_on_it(tmp_path: Path) -> None:
    settings = load({"DATA_DIR": str(tmp_path)})
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: embedded.password(settings), range(40)))) == 1
    assert [each.name for each in (tmp_path / "store").iterdir()] == ["password"]


def test_a_given_password_is_the_one(tmp_path: Path) -> None:
    settings = load({"DATA_DIR": str(tmp_path), "STORE_PASSWORD": "hunter2+/="})
    assert settings.redis_url == "redis://:hunter2%2B%2F%3D@127.0.0.1:6390/0"
    assert embedded.password(settings) == "hunter2+/="
    embedded.command(settings)
    assert (tmp_path / "store" / "store.conf").read_text() == "requirepass hunter2+/=\n"
    assert not settings.password_file.exists()
    assert "hunter2" not in repr(settings)


def test_a_password_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "store" / "password").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"expected a password in .* that this user can read"):
        load({"DATA_DIR": str(tmp_path)}).redis_url  # noqa: B018


def test_commands_beside_a_store_find_it(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server:
        command, environment = [sys.executable, "-m", "tracker", "keys"], CLEAN | server.variables
        run = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "timeout": 60}
        subprocess.run([*command, "create", "me"], check=True, **run)
        assert subprocess.run([*command, "list"], check=True, **run).stdout.endswith("me\n")


def test_a_part_that_is_started_before_the_store_makes_it(tmp_path: Path) -> None:
    environment = CLEAN | {"DATA_DIR": str(tmp_path), "STORE_PORT": str(free_port()), "LOG_LEVEL": "error"}
    beat = subprocess.Popen([sys.executable, "-m", "tracker", "beat"], cwd=ROOT, env=environment)
    try:
        wait_for((tmp_path / "store" / "password").exists, "the password is there")
    finally:
        beat.kill()
        beat.wait()
