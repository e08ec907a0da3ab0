"""A job and a conversation that need no model; worker processes import them from here."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.runtime.protocol import Conversation, FailureError, Job


@dataclass(frozen=True, kw_only=True)
class SumJob(Job):
    """Add up the elements of each sample.

    Attributes:
        most: a sum that is larger is a failure.
    """

    most: float = 1e9

    def start(self) -> _Sum:
        return _Sum(self.most)

    @staticmethod
    def merged(first: int, second: int) -> int:
        return first + second


class _Sum:
    def __init__(self, most: float) -> None:
        self._most = most
        self._count = 0

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> float:
        print("printed by the work")
        self._count += 1
        ((name, mat),) = inputs
        total = float(np.array(mat).sum())
        if total > self._most:
            raise FailureError(f"{name} sums up to {total}")
        return total

    def result(self) -> int:
        return self._count


@dataclass(frozen=True, kw_only=True)
class DyingJob(Job):
    """Collect the first elements of samples, and die over those that say so.

    Attributes:
        deaths: by first element the signals by which it dies over the sample, one at each time; then it answers.
        notes: a folder that remembers how often it died, and which processes there were.
        dies_at: "start" or "result" to die then.
    """

    deaths: Mapping[float, Sequence[int]]
    notes: Path
    dies_at: str = ""

    def start(self) -> _Dying:
        if self.dies_at == "start":
            os.kill(os.getpid(), signal.SIGSEGV)
        return _Dying(self)

    @staticmethod
    def merged(first: list[float], second: list[float]) -> list[float]:
        return first + second


class _Dying:
    def __init__(self, job: DyingJob) -> None:
        self._job = job
        self._seen: list[float] = []

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> float:
        (self._job.notes / f"process-{os.getpid()}").touch()
        ((_, mat),) = inputs
        value = float(np.array(mat).flat[0])
        signals = self._job.deaths.get(value, ())
        before = len(list(self._job.notes.glob(f"died-{value}-*")))
        if before < len(signals):
            (self._job.notes / f"died-{value}-{before}").touch()
            os.kill(os.getpid(), signals[before])
        self._seen.append(value)
        return value

    def result(self) -> list[float]:
        if self._job.dies_at == "result":
            os.kill(os.getpid(), signal.SIGSEGV)
        return self._seen


@dataclass(frozen=True)
class Counting(Conversation):
    """Remember a number, and add each request to it."""

    first: int

    def start(self) -> _Counter:
        return _Counter(self.first)


class _Counter:
    def __init__(self, count: int) -> None:
        self._count = count

    def answer(self, request: int) -> int:
        if request < 0:
            os._exit(3)
        self._count += request
        return self._count


@dataclass(frozen=True)
class Flooding(Conversation):
    """Answer with what cannot be read, and more behind it than a pipe holds."""

    def start(self) -> Flooding:
        return self

    def answer(self, request: object) -> object:  # noqa: ARG002
        return [_Unreadable(), bytes(2**22)]


class _Unreadable:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)
