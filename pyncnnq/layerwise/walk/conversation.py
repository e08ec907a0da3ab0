"""A worker's side of a walk: it holds the blobs of its samples in two branches, and answers requests about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pyncnnq.errors import UnreadableError
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.runtime.protocol import Conversation

Blobs = dict[str, dict[int, Any]]
"""By name of a blob and number of a sample, an ncnn.Mat."""


@dataclass(frozen=True)
class Walk(Conversation):
    """Take two models, a float one and its quantized likeness, through a network together, a few layers at a time.

    Attributes:
        inputs: the blob of each model input, and how a file becomes it.
        samples: this worker's, by their numbers; it holds their blobs until they are dropped.
    """

    inputs: Sequence[tuple[str, InputSpec]]
    samples: Mapping[int, tuple[Path, ...]]

    def start(self) -> Walker:
        """Load the samples of this worker, but for those that cannot be read: the calibration has named them."""
        from pyncnnq.inputs.loading import load_sample  # which imports ncnn: in workers only

        blobs: Blobs = {name: {} for name, _ in self.inputs}
        for number, paths in self.samples.items():
            try:
                mats = [load_sample(path, spec) for (_, spec), path in zip(self.inputs, paths, strict=True)]
            except UnreadableError:
                continue
            for (name, _), mat in zip(self.inputs, mats, strict=True):
                blobs[name][number] = mat
        return Walker(blobs)


class Walker:
    """The blobs of a worker's samples.

    Attributes:
        exact: in the float branch.
        rough: in the quantized branch; where both branches have the same numbers, they share them.
    """

    def __init__(self, inputs: Blobs) -> None:
        self.exact = inputs
        self.rough = dict(inputs)

    def answer(self, request: Request) -> object:
        """Return the answer to a request.

        Raises:
            FailureError: the walk cannot go on.
        """
        return request.answer(self)


class Request(ABC):
    """Asks each worker something about its samples, or to do something with them."""

    @abstractmethod
    def answer(self, walker: Walker) -> object:
        """Do in a worker what is asked.

        Returns:
            What is asked for; None if there is nothing to say, or no sample.

        Raises:
            FailureError: the walk cannot go on.
        """


class Sums(Protocol):
    """An answer that can be added to that of other samples."""

    def add(self, other: Self) -> None:
        """Take in the answer of other samples."""


Answer = TypeVar("Answer", bound=Sums)


def joined(parts: Iterable[Answer]) -> Answer | None:
    """Return the sum of answers, which the first of them becomes; None if there are none."""
    first: Answer | None = None
    for part in parts:
        if first is None:
            first = part
        else:
            first.add(part)
    return first
