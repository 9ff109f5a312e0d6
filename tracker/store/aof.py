"""Finds what is good in damaged append-only files of a Valkey or Redis server, and makes new files from it.

The server refuses a file with a damaged part, however small. This module leaves that part out and keeps the rest. The
file is a row of commands. A command is ``*COUNT``, then for each argument ``$LENGTH`` and its bytes. The base may also
be a snapshot, which only the server's own checker can judge.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: The folder of the append-only files, inside the server's folder.
FOLDER = "appendonlydir"
#: Sets of damaged files, and their bytes, that are kept at most. The newest set is always kept.
SETS, BYTES = 3, 1 << 30
ASIDE = "damaged-"
_COUNT = re.compile(rb"\*([1-9]\d{0,7})\r\n")
_LENGTH = re.compile(rb"\$(\d{1,9})\r\n")
#: The beginning of a command: a count, and the name of a command.
_BEGINNING = re.compile(rb"\*[1-9]\d{0,7}\r\n\$\d{1,2}\r\n[A-Za-z0-9._-]{2,64}\r\n")
_LISTED = re.compile(r'file "?([^"/]+?)"? seq (\d+) type ([bhi])\b')
_NUMBERED = re.compile(r".+\.(\d+)\.(base|incr)\.(rdb|aof)")


@dataclass(frozen=True)
class Mended:
    """kept, lost: bytes of commands, without the zeros of a hole; missing: names of files that are lost whole."""

    kept: int = 0
    lost: int = 0
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not (self.lost or self.missing)


def salvage(data: bytes) -> list[slice]:
    """The whole commands in ``data``, as slices of it. Joins neighbours. Keeps a transaction whole or not at all."""
    kept: list[tuple[int, int]] = []
    multi: int | None = None  # index in kept where the open transaction begins
    after_damage: int | None = None  # from this index on, kept may be the end of a transaction that lost its beginning
    at = 0
    while at < len(data):
        found = _command(data, at)
        if not found:
            if multi is not None:
                del kept[multi:]
            multi, after_damage = None, len(kept)
            following = _BEGINNING.search(data, at + 1)
            at = following.start() if following else len(data)
            continue
        end, name = found
        kept.append((at, end))
        if name == b"MULTI":
            multi = len(kept) - 1
        elif name == b"EXEC":
            if multi is None:
                del kept[-1 if after_damage is None else after_damage :]
            multi, after_damage = None, None
        at = end
    if multi is not None:
        del kept[multi:]
    return list(_joined(kept))


def intact(folder: Path) -> bool:
    """Whether no command in ``folder`` is damaged. The last one may be incomplete: it is being written."""
    for path in (path for path in _files(folder) if path.suffix != ".rdb"):
        data = _read(path)
        good = salvage(data or b"")
        end = good[-1].stop if good else 0
        if data is None or len(good) > 1 or (good and good[0].start) or data[end : end + 1] == b"\0":
            return False
    return True


def needs_mending(folder: Path) -> bool:
    """Whether ``folder`` has files but no manifest. A server would silently start empty, beside these files."""
    return not any(folder.glob("*.manifest")) and any(_NUMBERED.fullmatch(path.name) for path in folder.glob("*"))


def mend(source: Path, target: Path, is_good_snapshot: Callable[[Path], bool], increments: bool = True) -> Mended:
    """Makes the folder ``target`` from the good parts of ``source``: a base, and one increment with all good commands.

    ``increments``: False leaves out the commands. Raises OSError if it cannot write ``target``, as on a full disk.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    name = next((path.stem for path in source.glob("*.manifest")), "appendonly.aof")
    files = _files(source)
    snapshots = [path for path in files if path.suffix == ".rdb"]
    older = [path for path in _numbered(source, "base")[::-1] if path.suffix == ".rdb" and path not in snapshots]
    snapshot = next((path for path in [*snapshots, *older] if path.is_file() and is_good_snapshot(path)), None)
    missing = [path.name for path in snapshots if path != snapshot]
    lines, kept, lost = [], 0, 0
    if snapshot:
        _link(snapshot, target / f"{name}.1.base.rdb")
        lines.append(f"file {name}.1.base.rdb seq 1 type b\n")
    with (target / f"{name}.1.incr.aof").open("wb") as file:
        for path in (path for path in files if path not in snapshots):
            data = _read(path) if increments else None
            if data is None:
                missing.append(path.name)
                continue
            good = [data[each] for each in salvage(data)]
            file.writelines(good)
            kept += sum(map(len, good))
            lost += _not_zero(data) - sum(map(_not_zero, good))
        file.flush()
        os.fsync(file.fileno())
    lines.append(f"file {name}.1.incr.aof seq 1 type i\n")
    (target / f"{name}.manifest").write_text("".join(lines))  # last: with it the folder is complete
    return Mended(kept, lost, tuple(missing))


def swap(folder: Path, fresh: Path, now: float) -> Path:
    """Renames ``folder``, and ``fresh`` to its name; removes old sets. Returns the new path of the damaged files."""
    aside = folder.parent / time.strftime(f"{ASIDE}%Y%m%dT%H%M%SZ", time.gmtime(now))
    while aside.exists():
        aside = aside.with_name(f"{aside.name}-again")
    folder.rename(aside)
    fresh.rename(folder)
    sets = kept_sets(folder.parent)
    while len(sets) > 1 and (len(sets) > SETS or sum(map(_size, sets)) > BYTES):
        shutil.rmtree(sets.pop(0), ignore_errors=True)
    return aside


def forget_all(parent: Path) -> None:
    """Removes all sets of damaged files."""
    for each in kept_sets(parent):
        shutil.rmtree(each, ignore_errors=True)


def kept_sets(parent: Path) -> list[Path]:
    """The sets of damaged files, the oldest first."""
    return sorted(parent.glob(f"{ASIDE}*"))


def _command(data: bytes, at: int) -> tuple[int, bytes] | None:
    """(end, name in capitals) of the command that begins at ``at``; None if no whole command begins there."""
    count = _BEGINNING.match(data, at) and _COUNT.match(data, at)
    if not count:
        return None
    at, name = count.end(), b""
    for _ in range(int(count[1])):
        length = _LENGTH.match(data, at)
        if not length:
            return None
        first = length.end()
        at = first + int(length[1]) + 2
        if data[at - 2 : at] != b"\r\n":
            return None
        name = name or data[first : at - 2].upper()
    return at, name


def _joined(pieces: list[tuple[int, int]]) -> Iterator[slice]:
    start = end = 0
    for first, last in pieces:
        if first != end:
            if end > start:
                yield slice(start, end)
            start = first
        end = last
    if end > start:
        yield slice(start, end)


def _files(folder: Path) -> list[Path]:
    """The files that the manifest lists, base first. Without a good manifest, goes by the files' names."""
    try:
        [manifest] = folder.glob("*.manifest")
        rows = [_LISTED.match(line) for line in manifest.read_text().splitlines()]
    except (OSError, ValueError):
        rows = []
    if rows and all(rows):
        found = sorted((row[3] == "i", int(row[2]), row[1]) for row in rows if row and row[3] != "h")
        return [folder / name for _, _, name in found]
    return [*_numbered(folder, "base")[-1:], *_numbered(folder, "incr")]


def _numbered(folder: Path, kind: str) -> list[Path]:
    """The files of this ``kind`` (base or incr) in ``folder``, by number."""
    named = [(row, path) for path in folder.glob("*") if (row := _NUMBERED.fullmatch(path.name)) and row[2] == kind]
    return [path for row, path in sorted(named, key=lambda each: int(each[0][1]))]


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _link(path: Path, target: Path) -> None:
    """Links the file, which takes no space. That is safe: the server replaces a snapshot and never changes it."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _not_zero(data: bytes) -> int:
    return len(data) - data.count(0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))
