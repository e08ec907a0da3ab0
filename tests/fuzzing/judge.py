"""Whether a reader takes an input as it should: no exception but ours, in time, and in little memory."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import hashlib
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyncnnq.errors import PyncnnqError

Reader = Callable[[bytes, Path], None]

SECONDS_PER_BYTE = 2e-6
LEAST_SECONDS = 2.0
BYTES_PER_BYTE = 8
LEAST_BYTES = 50 << 20

_PAGE = resource.getpagesize()
_REFRESH = 1000  # inputs after which the memory that the process has when it reads nothing is looked at again


def allowed_seconds(size: int) -> float:
    """Return how long an input of so many bytes may take."""
    return max(LEAST_SECONDS, SECONDS_PER_BYTE * size)


def allowed_bytes(size: int) -> int:
    """Return how much memory reading an input of so many bytes may take."""
    return LEAST_BYTES + BYTES_PER_BYTE * size


class Findings:
    """What was found, each kind once: the input as a file, and beside it, in a `.txt`, what happened."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder, self._target = folder, target

    def add(self, data: bytes, kind: str, where: str, text: str) -> None:
        """Write down that an input leads to something, unless there is one that does in the same place.

        Args:
            kind: such as `ValueError` or `slow`.
            where: the place in the code, if it is known.
        """
        name = f"{self._target}-{hashlib.sha256(f'{kind} {where}'.encode()).hexdigest()[:12]}"
        try:
            with (self._folder / f"{name}.txt").open("x", errors="backslashreplace") as file:
                file.write(f"{kind} {where}\n{text}")
        except FileExistsError:
            return
        (self._folder / name).write_bytes(data)


class Judge:
    """Reads inputs in this process, one after another, and watches what they do."""

    def __init__(self, read: Reader, folder: Path, findings: Findings) -> None:
        self._read, self._folder, self._findings = read, folder, findings
        self._count = 0
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._settle()

    def judge(self, data: bytes) -> None:
        """Read an input; everything that it does and should not is a finding."""
        start = time.process_time()
        try:
            self._read(data, self._folder)
        except PyncnnqError:
            pass
        except Exception as error:
            self._findings.add(data, type(error).__name__, *_place(error))
        seconds = time.process_time() - start
        peak = self._highest()
        if seconds > allowed_seconds(len(data)):
            self._findings.add(data, "slow", *self._watch(data, seconds))
        if peak > self._peak:
            self._peak = peak
            grown = peak - self._usual
            if grown > allowed_bytes(len(data)) and (grown := self._alone(data)) > allowed_bytes(len(data)):
                self._findings.add(data, "memory", "", f"{grown >> 20} MB for {len(data)} bytes\n")
            if grown > LEAST_BYTES // 4:
                self._settle()
        self._count += 1
        if self._count % _REFRESH == 0:
            self._usual = _memory()

    def _alone(self, data: bytes) -> int:
        """Read an input once more and return the bytes that takes.  (What makes the inputs keeps many of them, in this
        process too.)"""
        self._settle()
        with suppress(Exception):
            self._read(data, self._folder)
        return self._highest() - self._usual

    def _highest(self) -> int:
        """Return the most memory that this process has had since `_settle`.  (That of `getrusage` begins with what the
        process had that started this one.)"""
        status = os.pread(self._status, 2048, 0)
        start = status.index(b"VmHWM:") + 6
        return int(status[start : status.index(b"kB", start)]) * 1024

    def _settle(self) -> None:
        """Give back memory, and begin to look for its peak anew."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        self._usual = self._peak = _memory()

    def _watch(self, data: bytes, seconds: float) -> tuple[str, str]:
        """Return where in the code a slow input is in the middle of its time, and the stack there."""
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback_later(seconds / 2, file=file)
            try:
                self._read(data, self._folder)
            except Exception:
                pass
            finally:
                faulthandler.cancel_dump_traceback_later()
            file.seek(0)
            stack = file.read()
        return place_of(stack), f"{seconds:.1f} s for {len(data)} bytes\n{stack}"


def place_of(stack: str) -> str:
    """Return the innermost line of pyncnnq in a stack that `faulthandler` has written."""
    lines = [line.strip() for line in stack.splitlines()]
    return next(
        (line.rpartition("/pyncnnq/")[2] for line in lines if "/pyncnnq/" in line), lines[1] if lines[1:] else ""
    )


def _place(error: Exception) -> tuple[str, str]:
    """Return where in the code an exception was raised, and its traceback in short."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    ours = [frame for frame in frames if "/pyncnnq/" in frame.filename]
    last = (ours or frames)[-1]
    place = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    if isinstance(error, RecursionError | MemoryError):  # raised in any line of those that do it
        place = "/".join(sorted({frame.name for frame in ours[-20:]}))
    shown = frames if len(frames) < 12 else [*frames[:4], *frames[-8:]]
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}\n" for frame in shown]
    return place, "".join([*lines, f"{type(error).__name__}: {str(error)[:500]}\n"])


def _memory() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - the fastest way
        return int(file.read().split()[1]) * _PAGE


def limit_memory(size: int) -> None:
    """Let this process have no more than `size` bytes beyond what it has, so that the machine stays usable."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        limit = int(file.read().split()[0]) * _PAGE + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.environ["MALLOC_ARENA_MAX"] = "2"
