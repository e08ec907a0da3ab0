"""A writer that is killed at any step: readers see all old files or all new ones, and nothing is left for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyncnnq.disk.transaction import reading
from pyncnnq.files import write_files

WRITER = """
import os, signal, sys
from pathlib import Path
from pyncnnq.files import write_files

left = int(sys.argv[1])
def counted(real):
    def call(*arguments, **keywords):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)
    return call

for name in ("fsync", "replace", "rename", "unlink", "link"):
    setattr(os, name, counted(getattr(os, name)))
write_files({Path(name): f"new {name}".encode() for name in ("a", "b", "folder/c")})
print(left)
"""
NAMES = ("a", "b", "folder/c")


def write_and_die(folder: Path, step: int) -> int | None:
    """Let a writer replace three files, killed before this step; the number of steps that it did not come to, if it
    lived."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(step)], cwd=folder, capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else None


def contents(folder: Path) -> list[str]:
    return [(folder / name).read_text() if (folder / name).exists() else "none" for name in NAMES]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/c"):
        (tmp_path / name).write_text(f"old {name}")
    return tmp_path


OLD, NEW = ["old a", "none", "old folder/c"], [f"new {name}" for name in NAMES]


def test_every_step(folder: Path) -> None:
    """Each folder for itself is old or new; a mixture there is to be seen before a reader of ours has come by."""
    steps = 1000 - (write_and_die(folder, 1000) or 0)
    assert contents(folder) == NEW
    mixtures, kinds = 0, set()
    for step in range(1, steps + 1):
        for name, text in zip(NAMES, OLD, strict=True):
            (folder / name).unlink(missing_ok=True) if text == "none" else (folder / name).write_text(text)
        assert write_and_die(folder, step) is None, step
        mixtures += contents(folder)[:2] not in (OLD[:2], NEW[:2])
        with reading(folder / "a", folder / "b"):
            assert contents(folder)[:2] in (OLD[:2], NEW[:2]), step
        with reading(folder / "folder/c"):
            found = contents(folder)
        assert found[2] in (OLD[2], NEW[2]), step
        kinds.add(found[0])
        write_files({folder / "other": b"", folder / "folder/other": b""})  # the next writer sweeps
        assert sorted(path.name for path in folder.rglob("*") if path.name.startswith(".")) == [], step
        assert contents(folder) == found
    assert mixtures >= 1
    assert kinds == {"old a", "new a"}


def test_a_living_writer_keeps_its_parts(folder: Path) -> None:
    code = "import sys; from pathlib import Path; from pyncnnq.disk.transaction import Part\n"
    code += "part = Part(Path('a')); part.write(b'new a'); print('written', flush=True); sys.stdin.read()\n"
    code += "from pyncnnq.disk.transaction import replace_all; replace_all([part])"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        write_files({folder / "b": b"1", folder / "c": b"2"})
        assert len(list(folder.glob(".*.part"))) == 1
        writer.communicate()
    assert writer.returncode == 0
    assert (folder / "a").read_text() == "new a"
    assert list(folder.glob(".*")) == []


def test_two_writers_at_once_leave_the_files_of_one(tmp_path: Path) -> None:
    """Over and over, while a reader looks."""
    code = "import sys; from pathlib import Path; from pyncnnq.files import write_files\n"
    code += "for turn in range(40): write_files({Path(name): sys.argv[1].encode() * 20 for name in 'ab'})"
    writers = [subprocess.Popen([sys.executable, "-c", code, text], cwd=tmp_path) for text in "xy"]
    files, looks = (tmp_path / "a", tmp_path / "b"), 0
    while any(writer.poll() is None for writer in writers):
        with reading(*files):
            assert len({file.read_text() if file.exists() else "" for file in files}) == 1
        looks += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    assert looks > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
