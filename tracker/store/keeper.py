"""Runs the embedded store and guards its file: ``python -m tracker store``.

When the disk is full, the server cuts off the command that it could write only in part. If it has rewritten its file
before, it then goes on at the old place. That leaves a hole of zeros, and at its next start the server refuses the
whole file. So the guard makes the server rewrite the file as soon as a write error is over. If the server refuses its
files all the same, the guard puts them aside and starts the server with what is good in them.
"""

import ctypes
import logging
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from redis import RedisError

from tracker.clock import utc
from tracker.errors import SettingsError, StoreError, TrackerError
from tracker.settings import Settings
from tracker.store import aof, embedded, model, repairs
from tracker.store.aof import Mended
from tracker.store.connection import connect, translated

log = logging.getLogger(__name__)

#: A line of the server's log: its process, its role, the time, the level and the message.
SERVER_LINE = re.compile(r"\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ ([.*#-]) (.*)")
LEVELS = {".": logging.DEBUG, "-": logging.INFO, "*": logging.INFO, "#": logging.WARNING}
#: Messages of a server that cannot load its files, and messages about faults elsewhere.
REFUSES = re.compile(r"append[- ]only file|append log file|AOF|RDB|manifest|Unknown command", re.IGNORECASE)
NO_FAULT = re.compile(r"No space left|Read-only file system|Too many open files|Cannot allocate memory")
ADVICE = re.compile(r": make a backup.*|\. You can: .*")
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
ERROR_IS_OVER = "AOF write error looks solved"
#: Seconds between two tries to rewrite the file. They double.
FIRST_PAUSE, LONGEST_PAUSE = 2, 60
#: Seconds after which a rewrite counts as failed.
REWRITE = 600
PR_SET_PDEATHSIG = 1


def run(settings: Settings) -> int:
    """Runs the store until it ends or a signal ends it. Returns its exit status; raises SettingsError."""
    guard = Guard(settings)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, guard.stop)
    return guard.run()


class Guard:
    """Starts the server, mends its files if it refuses them, and watches it until it ends."""

    def __init__(self, settings: Settings):
        self.command = embedded.command(settings)
        self.folder = settings.store_folder
        self.files = self.folder / aof.FOLDER
        self.redis: Any = connect(replace(settings, redis_given="").redis_url, tries=1, patience=5)
        self.process: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.said: deque[str] = deque(maxlen=100)
        self.suspect = threading.Event()  # set after a write error, until the file is rewritten
        self.pause, self.next_try = FIRST_PAUSE, 0.0
        self.repair: tuple[str, bool] | None = None  # the arguments of ``repairs.record``
        self.counts = repairs.Counts(self.folder)

    def run(self) -> int:
        self._tidy()
        refused = "the list of its files is missing" if aof.needs_mending(self.files) else ""
        status = None if refused else self._start()
        try:
            if refused or (status is not None and (refused := self._refusal(status))):
                status = self._start_mended(refused)
        except OSError as error:
            say(f"the store cannot load its files ({refused}), and they cannot be mended: {error}")
            return 1
        if status is None:
            return self._watch() if self._upgrade() else self._end()
        if status and not self.stopping:
            why = "".join(self._warnings()[-1:]) or "it did not say why"
            say(f"the store ended before it answered, with status {status}: {why}")
        return status

    def stop(self, *_: object) -> None:
        """Asks the server to save its data and to stop."""
        self.stopping = True
        if self.process:
            self.process.terminate()

    def _upgrade(self) -> bool:
        """Brings data of an older version to this one. False if the data is of a newer version."""
        try:
            if renamed := model.upgrade(self.redis):
                say(f"the data is of version {model.VERSION} now: {renamed} keys have new names")
        except SettingsError as error:
            say(str(error))
            return False
        except StoreError as error:
            say(f"the version of the data is not known: {error}")  # the parts ask again
        return True

    def _end(self) -> int:
        assert self.process
        self.process.terminate()
        self.process.wait()
        return 1

    def _tidy(self) -> None:
        """Removes the files of a killed rewrite, and finishes an interrupted swap of files."""
        for path in (*self.folder.glob("temp-*"), *self.files.glob("temp-*")):
            path.unlink(missing_ok=True)
        fresh = self.files.with_suffix(".new")
        if not self.files.exists() and any(fresh.glob("*.manifest")):
            fresh.rename(self.files)

    def _start(self) -> int | None:
        """Starts the server. Returns None once it answers, or its exit status if it ends before."""
        if self.stopping:
            return 0
        self.said.clear()
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the guard, which asks the server to stop
            preexec_fn=die_with_parent,
        )  # fmt: skip
        reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        reader.start()
        if self.stopping:
            self.process.terminate()
        while self.process.poll() is None:
            with suppress(RedisError):
                if self.redis.ping():
                    return None
            time.sleep(0.05)
        reader.join(5)
        return exit_status(self.process)

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            text = line.decode(errors="replace")
            self.said.append(text)
            if ERROR_IS_OVER in text:
                self.suspect.set()
            _repeat(text.strip())

    def _refusal(self, status: int) -> str:
        """Why the server refused its files; empty if it ended for another reason."""
        if self.stopping or status == 0 or any(map(NO_FAULT.search, self.said)):
            return ""
        refusals = [line for line in self._warnings() if REFUSES.search(line)]
        if refusals:
            return ADVICE.sub("", refusals[0])  # the advice names tools that the wheel lacks
        return "it crashed" if self.process and self.process.returncode in CRASHES else ""

    def _warnings(self) -> list[str]:
        return [line.partition(" # ")[2].strip() for line in self.said if " # " in line]

    def _start_mended(self, refused: str) -> int | None:
        """Starts the server with what is good in its files, or with less if it refuses that. Returns as ``_start``."""
        say(f"the store cannot load its files ({refused}): it puts them aside and loads what is good in them")
        known = self.counts.read()
        fresh = self.files.with_suffix(".new")
        try:
            mended = aof.mend(self.files, fresh, is_good_snapshot)
        except OSError:
            aof.forget_all(self.folder)  # the older sets may leave room for the new files
            mended = aof.mend(self.files, fresh, is_good_snapshot)
        aside = aof.swap(self.files, fresh, time.time())
        status = self._start()
        if status is not None and self._refusal(status):
            mended = aof.mend(aside, fresh, is_good_snapshot, increments=False)
            self._replace(fresh)
            status = self._start()
        if status is not None and self._refusal(status):
            mended = Mended(missing=("all files",))
            self._replace(None)
            status = self._start()
        if status is None:
            text = self._describe(refused, mended, known) + f" Its files are kept in {aside}."
            self.repair = text, not mended.whole
            say(text)
        return status

    def _replace(self, fresh: Path | None) -> None:
        shutil.rmtree(self.files)
        if fresh:
            fresh.rename(self.files)

    def _describe(self, refused: str, mended: Mended, known: dict[str, int]) -> str:
        what = f"{utc(time.time())}: the store could not load its files ({refused})."
        if mended.whole:
            return f"{what} Nothing is lost: there were only zeros between good commands."
        gone = f"; nothing of {', '.join(mended.missing)}" if mended.missing else ""
        now: dict[str, int] = {}
        with suppress(StoreError):
            now = self.counts.ask(self.redis)
        return (
            f"{what} {mended.kept} bytes of commands are loaded, {mended.lost} are damaged{gone}. "
            f"Samples are fetched again. {repairs.compare(known, now)}"
        )

    def _watch(self) -> int:
        assert self.process
        while self.process.poll() is None:
            with suppress(StoreError, OSError):
                self._look()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        return exit_status(self.process)

    def _look(self) -> None:
        """Rewrites the file after a write error, and writes the counts of API keys and the like."""
        if self.repair:
            repairs.record(self.redis, *self.repair)
            self.repair = None
        self.counts.keep(self.redis)
        if self._persistence("aof_last_write_status") != "ok":
            self.suspect.set()
        elif self.suspect.is_set() and time.monotonic() >= self.next_try:
            self._renew()

    def _renew(self) -> None:
        self.suspect.clear()  # before the rewrite, so that a new error sets it again
        try:
            done = self._rewrite()
        except StoreError:
            done = False
        if done and aof.intact(self.files):
            self.pause = FIRST_PAUSE
            say("a write error is over: the store's file was rewritten and is good")
            return
        self.suspect.set()
        say(f"the store's file could not be rewritten after a write error: the next try is in {self.pause} s")
        self.next_try = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def _rewrite(self) -> bool:
        assert self.process
        with translated():
            self.redis.bgrewriteaof()
        deadline = time.monotonic() + REWRITE
        while self.process.poll() is None and time.monotonic() < deadline:
            if not self._persistence("aof_rewrite_in_progress") and not self._persistence("aof_rewrite_scheduled"):
                return bool(self._persistence("aof_last_bgrewrite_status") == "ok")
            time.sleep(0.1)
        return False

    def _persistence(self, name: str) -> Any:
        with translated():
            return self.redis.info("persistence")[name]


def is_good_snapshot(path: Path) -> bool:
    """Whether the server can load the snapshot. Under that name, its program is the checker."""
    command = ["valkey-check-rdb", str(path)]
    return not subprocess.run(command, executable=embedded.binary(), stdout=subprocess.DEVNULL, check=False).returncode


def mend(folder: Path) -> str:
    """Mends the files of another, stopped server in its ``folder``. Returns a report; raises TrackerError.

    Does not check the snapshot: the checker here may be of another version.
    """
    files = folder / aof.FOLDER
    try:
        if not files.is_dir():
            raise TrackerError(f"{folder}: expected the folder of a server, with {aof.FOLDER} in it")
        fresh = files.with_suffix(".new")
        mended = aof.mend(files, fresh, Path.is_file)
        aside = aof.swap(files, fresh, time.time())
    except OSError as error:
        raise TrackerError(f"{folder}: the files cannot be mended: {error}") from error
    gone = f", nothing of {', '.join(mended.missing)}" if mended.missing else ""
    return f"{mended.kept} bytes of commands are good, {mended.lost} are lost{gone}; the old files are kept in {aside}"


def exit_status(process: subprocess.Popen[bytes]) -> int:
    """The exit status as a shell gives it: 128 plus the signal's number if a signal ended the process."""
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _repeat(line: str) -> None:
    """Logs a line of the server."""
    found = SERVER_LINE.fullmatch(line)
    if found or line:
        log.log(LEVELS[found[1]] if found else logging.INFO, "%s", found[2] if found else line)


def say(text: str) -> None:
    log.warning("store: %s", text)


def die_with_parent() -> None:
    """Call this in a forked child: the kernel then ends it when its parent dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
