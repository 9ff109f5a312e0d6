"""The embedded store survives a full disk and damaged files: it starts within seconds, with all that can be had."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis, RedisError

from tests.support.servers import free_port, wait_for
from tests.support.stack import CLEAN, ROOT, alive
from tracker.commands.cli import main
from tracker.series.ring import Ring
from tracker.store import aof, repairs
from tracker.store.keeper import is_good_snapshot
from tracker.store.keys import Keys
from tracker.store.series import REFETCH, Store

KEYS = 400


class Guarded:
    """``python -m tracker store`` on a folder of its own."""

    def __init__(self, folder: Path):
        port = free_port()
        self.environment = CLEAN | {"DATA_DIR": str(folder), "STORE_PORT": str(port), "STORE_PASSWORD": "known"}
        self.redis = Redis(port=port, password="known", socket_timeout=10)
        self.folder = folder / "store"
        self.files = self.folder / aof.FOLDER
        self.log = folder / "store.log"
        self.process: subprocess.Popen | None = None

    def launch(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tracker", "store"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def start(self) -> "Guarded":
        self.launch()
        wait_for(self.answers, "the store answers")
        return self

    def keep_up(self) -> bool:
        """As a supervisor does: starts it again if it has ended. Whether it can be written to."""
        if self.process and self.process.poll() is not None:
            self.launch()
        with suppress(RedisError):
            return bool(self.redis.set("written", 1))
        return False

    def answers(self) -> bool:
        with suppress(RedisError):
            return bool(self.redis.ping())
        return False

    @property
    def server(self) -> psutil.Process:
        assert self.process
        return next(each for each in psutil.Process(self.process.pid).children() if "valkey-server" in each.name())

    def says(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")

    def persistence(self, name: str) -> object:
        answer: dict = self.redis.info("persistence")  # type: ignore[assignment]
        return answer[name]

    def rewrite(self) -> None:
        """From here on the server writes at a place that it remembers, not at the end of its file."""
        done = self.persistence("aof_rewrites")
        self.redis.bgrewriteaof()
        wait_for(lambda: self.persistence("aof_rewrites") != done, "the file is rewritten")
        wait_for(lambda: not self.persistence("aof_rewrite_in_progress"), "that is done")
        assert self.persistence("aof_last_bgrewrite_status") == "ok"

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> "Guarded":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.stop()
        self.redis.close()
        print(self.log.read_text(errors="replace"))  # shown if the test fails


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
    """The numbers of the keys that are there."""
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
    """Whole, and still no command."""
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
    # name: what is done to the increment, the keys that must be there, how many of these may be missing
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
        return  # the server cuts on by itself
    wait_for(lambda: repairs.latest(guarded.redis), "it is noted")
    note = repairs.latest(guarded.redis)
    assert "could not load its files" in note
    [aside] = aof.kept_sets(guarded.folder)
    assert str(aside) in note
    assert guarded.says(f"store: {note}")

    # ... and the next start is as any other.
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
    # The socket's path is taken by a folder: the server ends before it loads.
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


# A disk that is full


class Disk:
    """A small file system that can be filled."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", tmp_path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield Disk(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def write(redis: Redis, rng: random.Random, number: int) -> bool:
    """Writes as workers do: a ring, a table and a transaction. Whether it was acknowledged."""
    with suppress(RedisError):
        redis.setrange(f"dt1:ring:k:{number % 50}", rng.randrange(1_000) * 18, rng.randbytes(rng.randrange(18, 9_000)))
        with redis.pipeline(transaction=True) as pipe:
            pipe.hset("first", str(number), rng.random())
            pipe.hset("second", str(number), rng.random())
            pipe.execute()
        return True
    return False


def outage(guarded: Guarded, disk: Disk, rng: random.Random) -> tuple[float, int]:
    """The disk is full, the store or its guard is killed; (seconds until it can be written to, acknowledged writes)."""
    guarded.rewrite()
    guarded.redis.delete("first", "second")
    acknowledged = sum(write(guarded.redis, rng, number) for number in range(rng.randrange(50, 200)))
    full_when_killed = rng.random() < 0.3
    for again in range(rng.randrange(1, 4)):  # an error that comes again
        disk.fill()
        number = 1_000 * (again + 1)
        while write(guarded.redis, rng, number) or guarded.persistence("aof_last_write_status") == "ok":
            number += 1
        time.sleep(rng.uniform(0, 0.3))
        if not full_when_killed:
            disk.free()
            until = time.monotonic() + rng.uniform(0, 1.5)
            for _ in range(500):  # not more than fits on the disk
                if time.monotonic() < until:
                    write(guarded.redis, rng, number := number + 1)
    assert guarded.process
    server = guarded.server
    victim = server if rng.random() < 0.7 else psutil.Process(guarded.process.pid)
    victim.kill()
    if full_when_killed:
        time.sleep(rng.uniform(0, 0.5))
    disk.free()
    began = time.monotonic()
    guarded.process.wait(30)
    wait_for(lambda: not alive([server]), "the server is gone")
    wait_for(guarded.keep_up, "it can be written to again", 30)
    return time.monotonic() - began, acknowledged


def assert_recovered(guarded: Guarded, acknowledged: int) -> None:
    first, second = guarded.redis.hgetall("first"), guarded.redis.hgetall("second")
    assert {str(number).encode() for number in range(acknowledged)} <= first.keys()
    assert first.keys() == second.keys()  # no half of a transaction


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("OUTAGES", "1 2 3").split()])
def test_a_full_disk_and_a_kill_are_recovered_from(disk: Disk, seed: int) -> None:
    with Guarded(disk.folder) as guarded:
        seconds, acknowledged = outage(guarded, disk, random.Random(seed))
        assert_recovered(guarded, acknowledged)
        print(f"outage {seed}: {seconds:.2f} s, mended: {bool(aof.kept_sets(guarded.folder))}")


def test_after_a_write_error_the_file_is_made_anew_as_often_as_it_takes(disk: Disk) -> None:
    with Guarded(disk.folder) as guarded:
        guarded.rewrite()
        words = "the store's file was made anew, and it is good"
        for times in (1, 2):
            guarded.redis.set("before", times)
            disk.fill()
            wait_for(lambda: not set_big(guarded.redis), "a write fails")
            disk.free()
            wait_for(lambda times=times: guarded.log.read_text().count(words) == times, "it is made anew")
            assert aof.intact(guarded.files)
        guarded.server.kill()
        wait_for(guarded.keep_up, "it is back")
        assert guarded.redis.get("before") == b"2"
        assert not aof.kept_sets(guarded.folder)  # nothing had to be mended


def set_big(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.set("big", random.randbytes(50_000)))
    return False


def test_the_server_is_the_checker_of_its_snapshots(guarded: Guarded) -> None:
    increment = filled(guarded)
    [base] = guarded.files.glob("*.base.rdb")
    assert is_good_snapshot(base)
    with_damaged_base(increment)
    assert not is_good_snapshot(base)
