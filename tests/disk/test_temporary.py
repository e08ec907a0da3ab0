"""Temporary folders: removed in the end, swept after dead processes, and a full disk under them is named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import convolution, model_of

from pyncnnq import PyncnnqError
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.disk.transaction import reading
from pyncnnq.files import write_files


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that TMPDIR names."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [None, ValueError("a"), KeyboardInterrupt()])
def test_it_is_removed(place: Path, error: BaseException | None) -> None:
    def work() -> None:
        with temporary_folder() as folder:
            assert folder.parent == place
            (folder / "inner").mkdir()
            (folder / "inner/file").write_text("")
            (folder / "link").symlink_to(place)
            assert len(entries(place)) == 1
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            work()
    else:
        work()
    assert entries(place) == []


KILLED = """
import os, signal, sys
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.disk.transaction import reading
with temporary_folder() as folder:
    (folder / "inner").mkdir()
    (folder / "inner/file").write_text("")
    print("made", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_what_dead_processes_made_is_swept(place: Path) -> None:
    (place / "pyncnnq-baseline.run").mkdir()
    (place / "pyncnnq-baseline.run/of the user").write_text("")
    (place / "pyncnnq-demo").mkdir()
    (place / "outside").mkdir()
    (place / "outside/.made-by-pyncnnq").write_text("")
    (place / "pyncnnq-link1234.run").symlink_to("outside")
    kept = entries(place)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        with temporary_folder():
            assert len(entries(place)) == len(kept) + 2, "its process lives"
        process.communicate()
    assert len(entries(place)) == len(kept) + 1
    with temporary_folder() as folder:
        assert entries(place) == sorted([*kept, folder.name])
    assert entries(place) == kept
    assert entries(place / "outside") == [".made-by-pyncnnq"]


def test_a_process_that_is_killed_while_it_removes(place: Path) -> None:
    code = KILLED.replace("sys.stdin.read()", "import shutil; shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)")
    code = code.replace("    os.kill(os.getpid(), signal.SIGKILL)\n", "")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -9
    assert len(entries(place)) == 1
    with temporary_folder():
        assert len(entries(place)) == 1
    assert entries(place) == []


def full(*_: Any, **__: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WORDS = r"temporary: no space left on device for temporary files; free some, or set TMPDIR to another folder"


def within(work: Callable[[Path], object]) -> None:
    with temporary_folder() as folder:
        work(folder)


def damaged(*_: Any) -> None:
    raise PyncnnqError("the ONNX file is damaged")


def test_a_temporary_model_on_a_full_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PyncnnqError, match=WORDS):
        within(lambda folder: model.stored(folder, "model"))
    assert entries(place) == []


def test_a_writer_on_a_full_disk_that_does_not_say_why_it_failed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PyncnnqError, match=WORDS):
        within(damaged)
    assert entries(place) == []


def test_a_full_disk_under_a_file_without_a_name(place: Path) -> None:
    with pytest.raises(PyncnnqError, match=WORDS):
        within(full)
    assert entries(place) == []


def test_the_place_of_files_that_are_written_together(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PyncnnqError, match=WORDS):
        within(lambda folder: write_files({folder / "a": b""}))
    with pytest.raises(PyncnnqError, match="out: cannot write: No space left on device; choose another place"):
        within(lambda _: write_files({tmp_path / "out": b""}))
    assert entries(place) == []


def test_what_is_no_trouble_of_the_folder_stays_what_it_is(place: Path, tmp_path: Path) -> None:
    with pytest.raises(PyncnnqError, match="damaged"):
        within(damaged)
    with pytest.raises(FileNotFoundError, match="none"):
        within(lambda _: (tmp_path / "none").read_bytes())
    assert entries(place) == []


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_made(place: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    tempfile.gettempdir()

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", fail)
    with pytest.raises(PyncnnqError, match=rf"^{place}: .*{os.strerror(number).lower()}.*; .*set TMPDIR to"):
        temporary_folder().__enter__()


def test_no_file_is_written_to_try_the_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tempfile does: a process that is killed just then would leave it for ever."""

    def fail() -> str:
        raise AssertionError("tempfile tries")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    with temporary_folder() as folder:
        assert folder.parent == place


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither TMPDIR nor /tmp nor the current folder takes a file."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/none"])
    with pytest.raises(PyncnnqError, match="no usable temporary directory"):
        temporary_folder().__enter__()


def test_models_in_it_are_read_and_written_at_once() -> None:
    """The lock of the folder's owner is not the one that readers and writers of its files wait for."""
    start = time.monotonic()
    with temporary_folder() as folder:
        write_files({folder / "a": b"1", folder / "b": b"2"})
        with reading(folder / "a", folder / "b"):
            pass
    assert time.monotonic() - start < 5
