"""Reading files: what never comes is not waited for, what has no end is not read to it."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from pyncnnq.errors import ModelError, PyncnnqError, TableError
from pyncnnq.files import read_file


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_file(tmp_path / "a", PyncnnqError) == b"0123456789"
    assert read_file(tmp_path / "a", PyncnnqError, most=10) == b"0123456789"
    with pytest.raises(TableError, match=r"a: is larger than 9 bytes"):
        read_file(tmp_path / "a", TableError, most=9)


def test_a_small_file_takes_little_memory_whatever_it_may_have(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    tracemalloc.start()
    read_file(tmp_path / "a", PyncnnqError, most=2**31 - 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_file_that_hides_its_size_is_bounded_too() -> None:
    assert b"Name:" in read_file(Path("/proc/self/status"), PyncnnqError)
    with pytest.raises(PyncnnqError, match="larger than 9 bytes"):
        read_file(Path("/proc/self/status"), PyncnnqError, most=9)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """In one line, of the type that the reader names."""
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # an address is at most some 100 bytes long
    listener.bind("socket")
    os.chdir(here)
    (tmp_path / "circle").symlink_to("circle")
    expected = {
        Path("/dev/zero"): "is a device, not a file; name a file",
        tmp_path: "is a folder, not a file; name a file",
        tmp_path / "socket": "is a socket, not a file; name a file",
        tmp_path / "pipe": "is a pipe, and nobody writes into it; name a file",
        tmp_path / "none": "no such file",
        tmp_path / "circle": f"cannot read: {os.strerror(errno.ELOOP)}",
        tmp_path / ("n" * 300): f"cannot read: {os.strerror(errno.ENAMETOOLONG)}",
        Path("a\0b"): "cannot read: embedded null byte",
    }
    started = time.monotonic()
    for path, words in expected.items():
        with pytest.raises(ModelError) as caught:
            read_file(path, ModelError)
        assert str(caught.value) == f"{path}: {words}"
    assert time.monotonic() - started < 2
    listener.close()


def test_a_file_larger_than_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**43)  # a hole: no bytes on the disk
    with pytest.raises(PyncnnqError, match=r"a: does not fit into memory"):
        read_file(tmp_path / "a", PyncnnqError)


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_pipe_is_read_while_somebody_writes(tmp_path: Path, pause: float) -> None:
    """As by `<(ls images)`, whose first line may take its time."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        time.sleep(pause)
        with pipe.open("wb", buffering=0) as file:
            for piece in (b"a" * 100_000, b"b"):
                time.sleep(pause)
                file.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_file(pipe, PyncnnqError) == b"a" * 100_000 + b"b"
    writer.join()


def test_a_pipe_that_has_no_end_is_refused() -> None:
    program = (
        "import sys; from pathlib import Path; from pyncnnq.files import read_file; from pyncnnq.errors import *\n"
        "try: print(len(read_file(Path('/dev/stdin'), TableError)))\n"
        "except TableError as error: print(error)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        answer = subprocess.run(command, stdin=endless.stdout, capture_output=True, text=True, timeout=60)
        endless.kill()
    assert answer.stdout.startswith("/dev/stdin: is a pipe that gives more than 67,108,864 bytes")
    assert subprocess.run(command, input="x\n" * 7, capture_output=True, text=True).stdout == "14\n"


def test_a_silent_pipe_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyncnnq.files._WAIT_FOR_MORE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    holder = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(PyncnnqError, match=r"pipe: is a pipe, and nothing came for 0.2 seconds"):
        read_file(tmp_path / "pipe", PyncnnqError)
    os.close(holder)
