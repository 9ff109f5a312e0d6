"""The embedded store survives a full disk and damaged files: it starts within seconds with all that is left."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.guarded_store import Guarded
from tests.support.servers import wait_for
from tests.support.stack import alive
from tracker.commands.cli import main
from tracker.series.ring import Ring
from tracker.store import aof, repairs
from tracker.store.api_keys import Keys
from tracker.store.keeper import is_good_snapshot
from tracker.store.series import REFETCH, Store

pytestmark = pytest.mark.slow  # starts processes

KEYS = 400


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as guarded:
        yield guarded


def filled(guarded: Guarded) -> Path:
    """Stops the store with half of its keys in the snapshot, half in the increment; returns the increment."""
    for number in range(KEYS):
        if number == KEYS // 2:
            guarded.rewrite()
        guarded.redis.set(f"key:{number}", f"value {number}")
    assert guarded.stop() == 0
    [increment] = guarded.files.glob("*.incr.aof")
    return increment


def held(guarded: Guarded) -> list[int]:
    """The numbers of the stored keys."""
    return sorted(int(key.removeprefix(b"key:")) for key in guarded.redis.scan_iter("key:*", 1_000))


def with_hole(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"*3\r\n", len(data) // 2)
    path.write_bytes(data[:at] + bytes(5_000) + data[at:])


def with_garbage(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"*3\r\n", len(data) // 2)
    path.write_bytes(data[:at] + b"garbage" + data[at + 9 :])


def with_unknown_command(path: Path) -> None:
    """Adds a command that is whole but unknown."""
    path.write_bytes(path.read_bytes() + b"*1\r\n$7\r\nNOTHING\r\n")


def with_damaged_base(path: Path) -> None:
    [base] = path.parent.glob("*.base.rdb")
    data = base.read_bytes()
    base.write_bytes(data[: len(data) // 2] + bytes(9) + data[len(data) // 2 + 9 :])


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def manifest(path: Path) -> Path:
    [found] = path.parent.glob("*.manifest")
    return found


ALL, HALF = range(KEYS), KEYS // 2
DAMAGE: dict[str, tuple[Callable[[Path], object], range, int]] = {
    # name: (the damage to the increment, the keys that must be stored, how many of these may be missing)
    "a hole of zeros": (with_hole, ALL, 0),
    "zeros at the end": (lambda path: path.write_bytes(path.read_bytes() + bytes(5_000)), ALL, 0),
    "a cut end": (lambda path: path.write_bytes(path.read_bytes()[:-5]), ALL, 1),
    "garbage": (with_garbage, ALL, 1),
    "an unknown command": (with_unknown_command, range(HALF), 0),
    "a damaged base": (with_damaged_base, range(HALF, KEYS), 0),
    "a missing increment": (Path.unlink, range(HALF), 0),
    "an unreadable increment": (as_folder, range(HALF), 0),
    "a missing manifest": (lambda path: manifest(path).unlink(), ALL, 0),
    "an empty manifest": (lambda path: manifest(path).write_bytes(b""), ALL, 0),
    "a manifest of zeros": (lambda path: manifest(path).write_bytes(bytes(100)), ALL, 0),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_put_aside_and_all_that_is_good_is_loaded(guarded: Guarded, name: str) -> None:
    damage, expected, may_miss = DAMAGE[name]
    damage(filled(guarded))
    guarded.start()
    missing = set(expected) - set(held(guarded))
    assert len(missing) <= may_miss
    if name == "a cut end":
        return  # the server cuts off the end by itself
    wait_for(lambda: repairs.latest(guarded.redis), "it is noted")
    note = repairs.latest(guarded.redis)
    assert "could not load its files" in note
    [aside] = aof.kept_sets(guarded.folder)
    assert str(aside) in note
    assert guarded.says(f"store: {note}")

    # The next start is like any other.
    guarded.redis.set("later", 1)
    assert guarded.stop() == 0
    guarded.start()
    assert guarded.redis.get("later") == b"1"
    assert aof.kept_sets(guarded.folder) == [aside]


def test_what_no_exchange_gives_back_is_named_and_the_rest_is_fetched_again(guarded: Guarded) -> None:
    store = Store(guarded.redis, Ring(60))
    keys = Keys(guarded.redis)
    for name in ("one", "two", "three"):
        keys.create(name, "read", time.time())
    guarded.redis.set("dt1:ring:k:a", bytes(store.ring.size))
    wait_for(lambda: repairs.Counts(guarded.folder).read().get("API keys") == 3, "they are counted")
    guarded.stop()
    [increment] = guarded.files.glob("*.incr.aof")
    data = increment.read_bytes()
    third = [at for at in range(len(data)) if data.startswith(b"HSETNX", at)][2]
    increment.write_bytes(data[: third - 8] + bytes(20) + data[third + 12 :])

    guarded.start()
    wait_for(lambda: repairs.latest(guarded.redis), "it is noted")
    assert "API keys: 2 of 3 remain; silences: 0 of 0 remain" in repairs.latest(guarded.redis)
    wait_for(lambda: guarded.redis.hget(REFETCH, "k:a") == b"0", "the market is fetched again")
    assert store.newest("x", "k:a", time.time(), 9)[2] == 0


def test_files_of_another_server_are_mended_by_a_command(guarded: Guarded, capsys: pytest.CaptureFixture) -> None:
    with_hole(filled(guarded))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["mend", str(guarded.folder)])
    [aside] = aof.kept_sets(guarded.folder)
    assert re.fullmatch(
        rf"\d+ bytes of commands are good, 0 are lost; the old files are kept in {aside}\n", capsys.readouterr().out
    )
    guarded.start()
    assert held(guarded) == [*ALL]
    assert not repairs.latest(guarded.redis)
    with pytest.raises(SystemExit, match=r"mend: .*: expected the folder of a server, with appendonlydir in it"):
        main(["mend", str(guarded.files)])


def test_another_fault_than_of_its_files_leaves_them_alone(guarded: Guarded) -> None:
    filled(guarded)
    before = {path: path.read_bytes() for path in guarded.files.iterdir()}
    # A folder is in the place of the socket, so the server ends before it loads.
    (guarded.folder / f"{guarded.environment['STORE_PORT']}.sock" / "x").mkdir(parents=True)
    guarded.launch()
    assert guarded.process and guarded.process.wait(30) == 1
    assert guarded.says("store: the store ended before it answered, with status 1: ")
    assert {path: path.read_bytes() for path in guarded.files.iterdir()} == before
    assert not aof.kept_sets(guarded.folder)


def test_a_killed_guard_leaves_no_server_and_a_killed_server_ends_the_guard(guarded: Guarded) -> None:
    server = guarded.server
    assert guarded.process
    guarded.redis.set("a", 1)
    guarded.process.kill()
    wait_for(lambda: not alive([server]), "the server has ended")
    guarded.process.wait()
    guarded.start()
    assert guarded.redis.get("a") == b"1"
    guarded.server.kill()
    assert guarded.process.wait(30) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_data_saved(guarded: Guarded, number: int) -> None:
    server = guarded.server
    guarded.redis.set("a", 1)
    assert guarded.process
    guarded.process.send_signal(number)
    assert guarded.process.wait(30) == 0
    assert not alive([server])
    assert guarded.says("Valkey is now ready to exit")
    guarded.start()
    assert guarded.redis.get("a") == b"1"


def test_the_server_is_the_checker_of_its_snapshots(guarded: Guarded) -> None:
    increment = filled(guarded)
    [base] = guarded.files.glob("*.base.rdb")
    assert is_good_snapshot(base)
    with_damaged_base(increment)
    assert not is_good_snapshot(base)
