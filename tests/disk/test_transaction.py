"""Files that are replaced together: errors, and records that mean harm."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyncnnq.disk.transaction import reading, written_files
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import write_files

PART = ".pyncnnq-0123456789abcdef.part"
RECORD = ".pyncnnq-fedcba9876543210.commit"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("links", [True, False])
def test_a_rename_that_fails_undoes_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, links: bool
) -> None:
    """File systems without second names (`links`) can undo it for new files alone."""
    if links:
        (tmp_path / "a").write_text("old a")
        (tmp_path / "c").write_text("old c")
    else:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    before = {name: (tmp_path / name).read_text() for name in entries(tmp_path)}
    real, calls = os.replace, 0

    def failing(source: Any, target: Any) -> None:
        nonlocal calls
        calls += str(source).endswith(".part")
        if calls == call and str(source).endswith(".part"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(PyncnnqError, match=rf"{tmp_path}/{'abc'[call - 1]}: cannot write: Input/output error"):
        write_files({tmp_path / name: b"new" for name in "abc"})
    assert {name: (tmp_path / name).read_text() for name in entries(tmp_path)} == before


def test_written_files_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files({Path("a"): b"", Path("b"): b""})
    write_files({Path("gone"): b""})
    Path("gone").unlink()
    with pytest.raises(PyncnnqError):
        write_files({Path("c"): b"", Path("none/d"): b""})
    assert [path for path in written_files() if not path.is_absolute()] == [Path("a"), Path("b")]


def record(folder: Path, renames: object) -> None:
    (folder / RECORD).write_text(renames if isinstance(renames, str) else json.dumps(renames))


def test_a_record_is_finished_by_a_reader(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / PART).write_text("new")
    record(tmp_path, {PART: "a", ".pyncnnq-0000000000000000.part": "renamed before"})
    link = tmp_path / "folder"
    link.symlink_to(tmp_path)
    with reading(link / "a"):
        assert (tmp_path / "a").read_text() == "new"
    link.unlink()
    assert entries(tmp_path) == ["a"]


def test_a_record_is_finished_before_a_single_file_is_written(tmp_path: Path) -> None:
    """Else the older one would take its place later."""
    (tmp_path / PART).write_text("older")
    record(tmp_path, {PART: "a"})
    write_files({tmp_path / "a": b"newer"})
    with reading(tmp_path / "a"):
        assert (tmp_path / "a").read_text() == "newer"
    assert entries(tmp_path) == ["a"]


def test_a_record_that_cannot_be_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do anything, so the answer of the system is replaced."""
    for name in ("a", "other"):
        (tmp_path / name).write_text("old")
    (tmp_path / PART).write_text("new")
    record(tmp_path, {PART: "a"})

    def deny(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", deny)
    with pytest.raises(
        PyncnnqError, match=r"ended while it replaced a, .* cannot finish that: Permission denied; write"
    ):
        reading(tmp_path / "a").__enter__()
    with reading(tmp_path / "other"):
        pass
    assert entries(tmp_path) == [PART, RECORD, "a", "other"]


HOSTILE: list[object] = [
    {PART: "../victim"},
    {PART: "/tmp/victim"},
    {PART: "folder/victim"},
    {PART: "folder"},
    {PART: ".."},
    {PART: ""},
    {PART: "nul\0"},
    {PART: "n" * 300},
    {PART: "link"},
    {PART: RECORD},
    {PART: 3},
    {PART: None},
    {"../other": "a"},
    {"a": "b"},
    {f"folder/{PART}": "a"},
    {PART: "new", "victim": "new"},
    [PART],
    "no JSON",
    "[" * 100_000,
    '{"' + PART + '": ',
    "",
    "\0",
]


@pytest.mark.parametrize("renames", HOSTILE, ids=range(len(HOSTILE)))
def test_a_record_that_means_harm_renames_nothing(tmp_path: Path, renames: object) -> None:
    inner = tmp_path / "inner"
    (inner / "folder").mkdir(parents=True)
    for path in (tmp_path / "victim", inner / "victim", inner / "folder/victim", inner / "a", tmp_path / "other"):
        path.write_text("precious")
    (inner / "folder" / PART).write_text("bad")
    (inner / PART).write_text("bad")
    (inner / "link").symlink_to("../victim")
    record(inner, renames)
    with reading(inner / "a"):
        pass
    for path in (tmp_path / "victim", inner / "victim", inner / "folder/victim", inner / "a", tmp_path / "other"):
        assert path.read_text() == "precious"
    assert entries(tmp_path) == ["inner", "other", "victim"]
    assert (inner / "link").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "large"])
def test_records_and_parts_that_are_no_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / PART).write_text("new")
    (tmp_path / "real").write_text(json.dumps({PART: "a"}))
    path = tmp_path / RECORD
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("real")
    else:
        path.write_text(json.dumps({PART: "a"}) + " " * 2**20)
    with reading(tmp_path / "a"):
        assert (tmp_path / "a").read_text() == "old"


def test_only_dead_parts_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".pyncnnq-0123456789abcdef.old").write_text("kept by a dead writer")
    (tmp_path / PART).write_text("of a dead writer")
    os.mkfifo(tmp_path / ".pyncnnq-0000000000000000.part")
    others = [".pyncnnq-notes.part", "pyncnnq-0123456789abcdef.part", ".pyncnnq-0123456789abcdef.partial"]
    for name in others:
        (tmp_path / name).write_text("of the user")
    write_files({tmp_path / "a": b""})
    assert entries(tmp_path) == sorted([*others, ".pyncnnq-0000000000000000.part", "a"])


def test_records_of_others_count_nothing_where_all_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder such as /tmp nobody may rename the files of others: nor may a record of theirs."""
    (tmp_path / "a").write_text("precious")
    (tmp_path / PART).write_text("bad")
    record(tmp_path, {PART: "a"})
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with reading(tmp_path / "a"):
        assert (tmp_path / "a").read_text() == "precious"
    monkeypatch.undo()
    with reading(tmp_path / "a"):
        assert (tmp_path / "a").read_text() == "bad"


def test_a_folder_that_someone_keeps_locked_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr("pyncnnq.disk.locks._PATIENCE", 0.05)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
        with reading(tmp_path / "a"):
            assert (tmp_path / "a").read_bytes() == b"1"
    finally:
        os.close(descriptor)
    assert entries(tmp_path) == ["a", "b"]


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / PART).write_text("whose writer may live")
    write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert entries(tmp_path) == [PART, "a", "b"]
