"""The good parts of damaged append-only files are kept, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.store import aof


def command(*words: bytes) -> bytes:
    """A command as the server writes it to its file."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def rescued(data: bytes) -> bytes:
    return b"".join(data[each] for each in aof.salvage(data))


A, B, C = command(b"SET", b"a", b"1"), command(b"SETRANGE", b"b", b"7", bytes(90)), command(b"DEL", b"c", b"\r\n*1")
MULTI, EXEC = command(b"MULTI"), command(b"exec")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"", b""),
        (A + B + C, A + B + C),
        (A + bytes(500) + B + C, A + B + C),  # a short write left a hole
        (A + B[:40] + bytes(500) + C, A + C),  # a second short write cut into a good command
        (A + B + bytes(500), A + B),
        (A + B + C[:-1], A + B),
        (A + B + b"*", A + B),
        (A + b"\xff*3\r\n$3\r\nSET\r\n$9" + B, A + B),
        (A + b"*1\r\n$0\r\n\r\n"[:-1] + B, A + B),
        (bytes(9), b""),
        (b"no commands at all", b""),
        (A + MULTI + B + C + EXEC + A, A + MULTI + B + C + EXEC + A),
        (A + MULTI + B, A),
        (A + MULTI + B + bytes(9) + C + EXEC + A, A + A),  # the middle of a transaction
        (A + MULTI[:-4] + B + C + EXEC + A, A + A),  # the beginning of a transaction
        (A + MULTI + B + EXEC[:-4] + C + A, A + C + A),  # the end of a transaction
        (A + bytes(9) + C + MULTI + B + EXEC, A + C + MULTI + B + EXEC),
        (A + MULTI + B + EXEC + bytes(9) + C + EXEC + B, A + MULTI + B + EXEC + B),
        (A + EXEC + B, A + B),
    ],
)
def test_whole_commands_and_whole_transactions_are_kept(data: bytes, kept: bytes) -> None:
    assert rescued(data) == kept


@given(st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=12), st.data())
def test_a_hole_anywhere_costs_the_command_it_is_in_at_most(arguments: list[list[bytes]], draw: st.DataObject) -> None:
    commands = [command(b"RPUSH", *each) for each in arguments]
    data = b"".join(commands)
    at = draw.draw(st.integers(0, len(data)))
    hole = bytes(draw.draw(st.integers(1, 100)))
    ends = [len(b"".join(commands[: n + 1])) for n in range(len(commands))]
    hit = next((n for n, end in enumerate(ends) if end - len(commands[n]) < at < end), None)
    # Zeros inside a command may replace a string of zeros that was cut out. That command then looks whole.
    expected = b"".join(each for n, each in enumerate(commands) if n != hit)
    assert rescued(data[:at] + hole + data[at:]) == expected


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert all(data[each] for each in aof.salvage(data))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files that a server leaves: a snapshot, and two increments after it."""
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.3.base.rdb").write_bytes(b"VALKEY080...")
    (folder / "appendonly.aof.4.incr.aof").write_bytes(A)
    (folder / "appendonly.aof.10.incr.aof").write_bytes(B + C)
    listed = [("3.base.rdb", 3, "b"), ("4.incr.aof", 4, "i"), ("10.incr.aof", 10, "i")]
    lines = [f"file appendonly.aof.{name} seq {number} type {kind}\n" for name, number, kind in listed]
    (folder / "appendonly.aof.manifest").write_text("".join(lines))
    return folder


def mended(files: Path, good: bool = True, **options: bool) -> tuple[aof.Mended, bytes, str]:
    """Mends ``files``. Returns (the result, the commands in the new files, the manifest)."""
    target = files.with_suffix(".new")
    found = aof.mend(files, target, lambda path: good, **options)
    return found, (target / "appendonly.aof.1.incr.aof").read_bytes(), (target / "appendonly.aof.manifest").read_text()


BOTH = "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"


def test_good_files_are_kept_whole(files: Path) -> None:
    found, commands, listed = mended(files)
    assert (found, found.whole) == (aof.Mended(len(A + B + C), 0, ()), True)
    assert (commands, listed) == (A + B + C, BOTH)
    assert (files.with_suffix(".new") / "appendonly.aof.1.base.rdb").read_bytes() == b"VALKEY080..."


def test_a_hole_of_zeros_is_no_loss_and_garbage_is(files: Path) -> None:
    (files / "appendonly.aof.4.incr.aof").write_bytes(A + bytes(77) + A)
    assert mended(files)[0] == aof.Mended(len(A + A + B + C), 0, ())
    (files / "appendonly.aof.4.incr.aof").write_bytes(A + bytes(77) + b"xyz" + A)
    assert mended(files)[0] == aof.Mended(len(A + A + B + C), 3, ())


@pytest.mark.parametrize(
    "manifest", [None, "", "file appendonly.aof.3.base.rdb seq", "\0" * 90, "file x seq 1 type i\n?"]
)
def test_without_a_good_list_of_files_their_names_tell(files: Path, manifest: str | None) -> None:
    (files / "appendonly.aof.manifest").unlink()
    assert aof.needs_mending(files)
    if manifest is not None:
        (files / "appendonly.aof.manifest").write_text(manifest)
    found, commands, listed = mended(files)
    assert (found.whole, commands, listed) == (True, A + B + C, BOTH)


def test_what_is_missing_or_bad_is_named_and_the_rest_is_kept(files: Path) -> None:
    (files / "appendonly.aof.4.incr.aof").unlink()
    found, commands, _ = mended(files)
    assert (found.missing, found.whole, commands) == (("appendonly.aof.4.incr.aof",), False, B + C)
    (files / "appendonly.aof.4.incr.aof").mkdir()  # cannot be read
    assert mended(files)[0].missing == ("appendonly.aof.4.incr.aof",)
    found, commands, listed = mended(files, good=False)
    assert (found.missing[0], commands, "base" in listed) == ("appendonly.aof.3.base.rdb", B + C, False)


def test_an_older_snapshot_takes_the_place_of_a_bad_one(files: Path) -> None:
    (files / "appendonly.aof.2.base.rdb").write_bytes(b"older")
    target = files.with_suffix(".new")
    aof.mend(files, target, lambda path: ".2." in path.name)
    assert (target / "appendonly.aof.1.base.rdb").read_bytes() == b"older"


def test_increments_can_be_left_out(files: Path) -> None:
    found, commands, _ = mended(files, increments=False)
    assert (len(found.missing), commands) == (2, b"")


def test_files_are_put_aside_and_a_few_sets_of_them_kept(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        aof.mend(files, files.with_suffix(".new"), lambda path: True)
        aside = aof.swap(files, files.with_suffix(".new"), 1_700_000_000 + number // 2)  # two sets in a second
        assert aof.kept_sets(files.parent)[-1] == aside
    assert len(aof.kept_sets(files.parent)) == aof.SETS
    assert (files / "appendonly.aof.1.incr.aof").read_bytes() == A + B + C
    monkeypatch.setattr(aof, "BYTES", 10)
    aof.mend(files, files.with_suffix(".new"), lambda path: True)
    assert aof.kept_sets(files.parent)[-1:] != [aof.swap(files, files.with_suffix(".new"), 1_700_000_009)]
    assert len(aof.kept_sets(files.parent)) == 1


def test_a_file_that_is_written_now_may_end_in_the_middle_of_a_command(files: Path) -> None:
    last = files / "appendonly.aof.10.incr.aof"
    assert aof.intact(files)
    last.write_bytes(B + C[:-3])
    assert aof.intact(files)
    for bad in (A + bytes(3) + B, bytes(3) + B, A + bytes(3)):
        last.write_bytes(bad)
        assert not aof.intact(files)
    last.unlink()
    assert not aof.intact(files)
