"""Writing files: wholly or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyncnnq.errors import PyncnnqError
from pyncnnq.files import check_outputs, check_writable, write_files


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    write_files({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert entries(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"new a"
    assert (tmp_path / "b").read_bytes() == b"new b"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_files({tmp_path / "a": b""})
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def fail_at(call: int, error: BaseException) -> Any:
    """A function that fails when called for the given time, as the real one does."""
    calls = 0

    def failing(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error

    return failing


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EIO, os.strerror(errno.EIO))]
)
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: OSError
) -> None:
    (tmp_path / "b").write_text("old")
    monkeypatch.setattr("pyncnnq.files.os.fsync", fail_at(call, error))
    with pytest.raises(PyncnnqError, match=f"cannot write: {error.strerror}"):
        write_files({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert entries(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "old"


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    monkeypatch.setattr("pyncnnq.files.os.fsync", fail_at(call, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert entries(tmp_path) == []


def test_nothing_is_renamed_before_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[list[str]] = []
    real = os.replace

    def watch(source: Path, target: Path) -> None:
        replaced.append([path.read_text() for path in tmp_path.glob(".*.part")])
        real(source, target)

    monkeypatch.setattr("pyncnnq.files.os.replace", watch)
    write_files({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert sorted(replaced[0]) == ["new a", "new b"]


def test_a_missing_folder(tmp_path: Path) -> None:
    for check in (check_writable, lambda target: write_files({target: b""})):
        with pytest.raises(PyncnnqError, match="no such folder"):
            check(tmp_path / "none" / "a")
        with pytest.raises(PyncnnqError, match="is a folder"):
            check(tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PyncnnqError, match="no such folder"):
        check_writable(tmp_path / "file" / "a")


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the answer of the system is replaced."""
    monkeypatch.setattr("pyncnnq.files.os.access", lambda *_: False)
    with pytest.raises(PyncnnqError, match="permission denied"):
        check_writable(tmp_path / "a")
    with pytest.raises(PyncnnqError, match="permission denied"):
        write_files({tmp_path / "a": b""})
    assert entries(tmp_path) == []


def test_a_second_target_that_cannot_be_written_keeps_the_first(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(PyncnnqError, match="no such folder"):
        write_files({tmp_path / "a": b"new", tmp_path / "none" / "b": b"new"})
    assert entries(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_only_files_are_replaced(tmp_path: Path) -> None:
    """A rename onto /dev/null or /dev/stdout would put a plain file in its place, for everyone on the machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for target in (pipe, tmp_path / "link"):
        for check in (check_writable, lambda target: write_files({target: b"new"})):
            with pytest.raises(PyncnnqError, match="device or a pipe"):
                check(target)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert entries(tmp_path) == ["link", "pipe"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder/real", tmp_path / "link"
    if exists:
        real.write_text("old")
    link.symlink_to("folder/real")
    write_files({link: b"new"})
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert entries(tmp_path / "folder") == ["real"]


def test_links_in_a_circle_and_names_that_are_too_long(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "n" * 300):
        with pytest.raises(PyncnnqError, match="cannot write"):
            check_writable(tmp_path / name)
    write_files({tmp_path / ("n" * 255): b"fits"})


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    write_files({tmp_path / "a": b"new"})
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_write_protected_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    real = os.access  # root may write anything, so the answer of the system is replaced
    monkeypatch.setattr("pyncnnq.files.os.access", lambda path, mode: path != tmp_path / "a" and real(path, mode))
    with pytest.raises(PyncnnqError, match="write-protected"):
        check_writable(tmp_path / "a")


def test_the_umask_of_the_process_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of all threads: another one that makes a file at that moment would get other permissions."""
    monkeypatch.setattr("os.umask", lambda _mask: pytest.fail("changed"))
    write_files({tmp_path / "a": b"new"})
    write_files({tmp_path / "a": b"newer"})


@pytest.mark.parametrize("mode", [0o666, 0o600, 0o755])
def test_a_replaced_file_keeps_permissions_that_the_umask_takes_away(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    old = os.umask(0o077)
    try:
        write_files({tmp_path / "a": b"new"})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def outputs_as(folder: Path, way: str, name: str) -> Path:
    """Return a path to a file of a folder, in some way or other."""
    if way == "through a linked folder":
        folder.with_name("door").symlink_to(folder)
        return folder.with_name("door") / name
    if way == "a link":
        folder.joinpath("link").symlink_to(name)
        return folder / "link"
    if way == "a hard link":
        os.link(folder / name, folder / "twin")
        return folder / "twin"
    if way == "from another folder":
        return Path(os.path.relpath(folder / name))
    return folder / ".." / folder.name / name


WAYS = ("through a linked folder", "a link", "from another folder", "up and down")


@pytest.mark.parametrize("way", [*WAYS, "a hard link"])
def test_no_output_is_an_input(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "x").write_text("precious")
    output = outputs_as(folder, way, "x")
    with pytest.raises(PyncnnqError) as caught:
        check_outputs([tmp_path / "other", output], [tmp_path / "none", folder, folder / "x"])
    assert str(caught.value) == f"{output}: would overwrite the input {folder / 'x'}; name another output"


@pytest.mark.parametrize("way", WAYS)
def test_no_output_is_another_one_though_neither_is_there(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    output = outputs_as(folder, way, "x")
    with pytest.raises(PyncnnqError) as caught:
        check_outputs([folder / "x", output], [])
    assert str(caught.value) == f"{output}: would overwrite the output {folder / 'x'}; name another one"
    check_outputs([output, folder / "y"], [folder])


def test_outputs_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(PyncnnqError, match="no such folder"):
        check_outputs([tmp_path / "a", tmp_path / "none/b"], [])
