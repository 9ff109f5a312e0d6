"""What processes count. Any room may count; the pages of workers, beats and the API show it (docs/operations.md).

A process keeps its counts in files, as prometheus_client does for programs with several processes, so that one process
can show the counts of all. The files are in ``DATA_DIR/metrics/{kind}``, which ``folder`` makes before the process
becomes a part of that kind. Without the folder, a process counts in its memory alone, and nobody sees it.

A process takes the first free place in that folder, as long as it lives. So a worker's new child goes on with the
counts of the one that ended: no counter goes back, and there are never more files than processes at once.
"""

import fcntl
import itertools
import json
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from prometheus_client import Counter, Histogram, generate_latest, values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from tracker import __version__

#: The kinds of parts that share a page, and the kind that has its own.
PARTS, API = ("worker", "beat"), "api"
#: The media type of a page, and seconds for which it is kept.
TYPE, KEPT = "text/plain; version=0.0.4; charset=utf-8", 2
#: The variable by which prometheus_client knows the folder.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Bytes of a file at its begin; and bytes from which on it is begun anew, because most of its labels are long gone.
SMALLEST, LARGEST = 1 << 16, 1 << 22


def folder(data_dir: Path, kind: str) -> Path:
    """The folder for the counts of parts of that ``kind``."""
    return data_dir.resolve() / "metrics" / kind


def prepare(data_dir: Path, kind: str) -> None:
    """Makes the folder, before this process becomes a part of that ``kind``. Raises OSError."""
    os.environ.pop(FOLDER, None)  # other programs, such as Flower, would use it too
    if kind in (*PARTS, API):
        made = folder(data_dir, kind)
        made.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER] = str(made)


@cache
def place() -> str:
    """The place of this process. Its lock ends with the process."""
    try:
        for number in itertools.count():
            lock = os.open(f"{os.environ[FOLDER]}/{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return str(number)
    except OSError:  # no folder, no room, or a file system without locks
        pass
    return f"without-place-{os.getpid()}"


class Kept(MmapedDict):
    """The counts of a process in a file, which is mapped into its memory.

    On a full disk, a write to such a file kills the process. So its room on the disk is reserved first. Without room,
    or without the folder, the process counts in its memory.
    """

    def __init__(self, path: str):
        file = Path(path)
        try:
            if file.exists() and (file.stat().st_size > LARGEST or not _readable(file)):
                file.unlink()
            with file.open("ab") as opened:
                os.posix_fallocate(opened.fileno(), 0, SMALLEST)
            super().__init__(path)  # type: ignore[no-untyped-call]  # the library has no types here
        except Exception:  # counting must not stop a part
            with _in_memory() as memory:
                super().__init__(f"/proc/self/fd/{memory.fileno()}")  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + 64 > self._capacity:  # it doubles
            try:
                os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
            except OSError:
                self._f = _in_memory(self._m[:])
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _readable(file: Path) -> bool:
    """Whether ``file`` has counts and all of it can be read. It may be damaged, or just being made."""
    try:
        entries = MmapedDict.read_all_values_from_file(file)  # type: ignore[no-untyped-call]
        return all([json.loads(key) for key, *_ in entries] or [False])
    except Exception:  # of many kinds
        return False


def _in_memory(content: bytes = b"") -> BinaryIO:
    file = os.fdopen(os.memfd_create("counts"), "w+b")
    file.write(content)
    file.flush()
    return file


if FOLDER in os.environ:
    library: Any = values
    library.MmapedDict = Kept
    library.ValueClass = library.MultiProcessValue(place)
    os.register_at_fork(after_in_child=place.cache_clear)

#: Upper bounds of buckets in seconds: of what a client waits for, of what a task takes, of what waits in a queue.
SHORT = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
LONG = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
WAITING = (0.1, 0.3, 1, 3, 10, 30, 100, 300)

TASKS = Histogram("tracker_task_seconds", "Seconds that tasks ran.", ["task", "outcome"], buckets=LONG)
WAITED = Histogram(
    "tracker_task_wait_seconds", "Seconds from when a task could begin to its begin.", ["queue"], buckets=WAITING
)
TICKS = Counter(
    "tracker_ticks", "Ticks: claimed in time, claimed late, taken by another tick, missed.", ["source", "outcome"]
)
FETCHES = Histogram(
    "tracker_fetch_seconds", "Seconds that calls to a source took.", ["source", "outcome"], buckets=LONG
)
FAILURES = Counter("tracker_fetch_failures", "Calls to a source that gave nothing.", ["source", "reason"])
EVALUATION = Histogram("tracker_evaluation_seconds", "Seconds that evaluations took.", buckets=LONG)
EVALUATED = Counter("tracker_evaluated_metrics", "Metrics that were evaluated.")
ALERTS = Counter("tracker_alerts", "Alerts that were recorded.", ["rule"])
DELIVERIES = Counter(
    "tracker_deliveries", "Tries to deliver a notice: delivered, failed, or dead: given up.", ["channel", "result"]
)
REQUESTS = Histogram("tracker_api_request_seconds", "Seconds that requests took.", ["route", "status"], buckets=SHORT)
CACHED = Counter("tracker_api_cache", "Answers that are kept: hit, miss, or stale, as the store was away.", ["result"])


class Page:
    """A page with the metrics of these ``collectors``, at most KEPT seconds old: many scrapes cost no more than one."""

    def __init__(self, *collectors: Collector):
        self._registry = CollectorRegistry(auto_describe=False)
        for each in collectors:
            self._registry.register(each)
        self._lock = Lock()
        self._read, self._page = float("-inf"), b""

    def read(self) -> bytes:
        """The page in Prometheus' text format."""
        with self._lock:
            if time.monotonic() - self._read >= KEPT:
                self._page = generate_latest(self._registry)
                self._read = time.monotonic()
            return self._page


class Counts(Collector):
    """The counts of all parts of these ``kinds`` that ever ran with this ``data_dir``."""

    def __init__(self, data_dir: Path, *kinds: str):
        self._folders = [folder(data_dir, kind) for kind in kinds]
        self._of_api = API in kinds

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for each in self._folders for file in each.glob("*.db") if _readable(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        # A metric without labels is there in all processes, also where it counts nothing.
        return [each for each in merged if each.name.startswith("tracker_api_") == self._of_api]


class Build(Collector):
    """Which version runs."""

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily("tracker_build_info", "1, with the version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
