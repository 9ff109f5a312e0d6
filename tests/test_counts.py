"""Counts in files: of processes side by side and one after another, and when there is no room or no folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.disk import mounted
from tests.support.stack import CLEAN
from tracker import counts

pytestmark = pytest.mark.slow  # starts processes of its own

ROOT = Path(__file__).parents[1]
#: Counts as often as each line that it reads says, and answers with its place.
COUNTING = """
import os, sys
from tracker import counts
for line in sys.stdin:
    for number in range(int(line)):
        counts.ALERTS.labels("a").inc()
    print(counts.place(), flush=True)
"""
#: Counts in a child of its own.
FORKED = """
import os
from tracker import counts
counts.ALERTS.labels("a").inc()
child = os.fork()
counts.ALERTS.labels("a").inc()
if child:
    os.waitpid(child, 0)
"""
#: More labels than a new file has room for.
GROWING = """
import sys
from tracker import counts
print(flush=True)
input()
for number in range(2_000):
    counts.ALERTS.labels(f"rule{number}").inc()
print("alive", flush=True)
"""


@contextmanager
def started(data_dir: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A part of the kind worker."""
    folder = str(counts.folder(data_dir, "worker"))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=CLEAN | {counts.FOLDER: folder},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], line: object = "") -> str:
    """What it answers to a line."""
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def total(data_dir: Path) -> float:
    """How often all of them have counted."""
    registry = CollectorRegistry()
    registry.register(counts.Counts(data_dir, "worker"))
    generate_latest(registry)
    return registry.get_sample_value("tracker_alerts_total", {"rule": "a"}) or 0


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    counts.folder(tmp_path, "worker").mkdir(parents=True)
    return tmp_path


def test_processes_count_side_by_side_and_each_new_one_goes_on_for_one_that_ended(data_dir: Path) -> None:
    with started(data_dir, COUNTING) as one, started(data_dir, COUNTING) as two:
        places = {ask(one, 10), ask(two, 5)}
        assert (places, total(data_dir)) == ({"0", "1"}, 15)
        one.send_signal(signal.SIGKILL)
        one.wait(60)
        with started(data_dir, COUNTING) as three:
            assert {ask(three, 1), ask(two, 1)} == places
            assert total(data_dir) == 17
    assert total(data_dir) == 17
    assert len(list(counts.folder(data_dir, "worker").glob("counter_*"))) == 2


def test_a_forked_child_counts_for_itself(data_dir: Path) -> None:
    with started(data_dir, FORKED) as process:
        assert process.wait(60) == 0
    assert total(data_dir) == 3
    assert len(list(counts.folder(data_dir, "worker").glob("counter_*"))) == 2


def test_a_full_disk_and_a_missing_folder_stop_no_process(tmp_path: Path) -> None:
    with mounted(tmp_path, megabytes=1) as disk, started(tmp_path, COUNTING) as without:
        assert ask(without, 10).startswith("without-place")
        counts.folder(tmp_path, "worker").mkdir(parents=True)
        with started(tmp_path, COUNTING) as early, started(tmp_path, GROWING) as growing:
            assert ask(early, 10) and growing.stdout.readline()
            disk.fill()
            with started(tmp_path, COUNTING) as late:
                assert ask(late, 10)
            assert ask(early, 10) and ask(growing) == "alive"
            assert total(tmp_path) == 20
            disk.free()
            with started(tmp_path, COUNTING) as later:
                assert ask(later, 10)
            assert total(tmp_path) == 30


def test_a_damaged_file_is_left_out_and_replaced(data_dir: Path) -> None:
    damaged = counts.folder(data_dir, "worker") / "counter_0.db"
    for content in (b"", b"\xff" * 100, os.urandom(1 << 16), (200).to_bytes(4, "little") + bytes(1 << 16)):
        damaged.write_bytes(content)
        assert total(data_dir) == 0
        with started(data_dir, COUNTING) as process:
            assert ask(process, 1) == "0"
        assert total(data_dir) == 1


def test_a_file_with_the_labels_of_years_is_begun_anew(data_dir: Path) -> None:
    file = counts.folder(data_dir, "worker") / "counter_0.db"
    with file.open("wb") as sparse:
        sparse.truncate(counts.LARGEST + 1)
    with started(data_dir, COUNTING) as process:
        assert (ask(process, 3), total(data_dir)) == ("0", 3)
    assert file.stat().st_size == counts.SMALLEST
