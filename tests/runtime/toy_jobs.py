"""A job and a conversation that need no model; worker processes import them from here."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
