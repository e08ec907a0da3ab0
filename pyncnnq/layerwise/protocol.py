"""What the main process asks workers that walk through a network layer by layer, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.protocol import Conversation, Listener


@dataclass(frozen=True)
class Walk(Conversation):
    """Take two models, a float one and its quantized likeness, through a network together, a few layers at a time.

    Attributes:
        inputs: the blob of each model input, and how a file becomes it.
        samples: this worker's, by their numbers; it holds their blobs until they are dropped.
    """

    inputs: Sequence[tuple[str, InputSpec]]
    samples: Mapping[int, tuple[Path, ...]]

    def start(self) -> Listener:
        """Load the samples of this worker."""
        from pyncnnq.layerwise.walker import Walker  # which imports ncnn: in workers only

        return Walker(self)


@dataclass(frozen=True)
class Window:
    """What one output of a layer sees of its input.

    Attributes:
        kernel, dilation, stride: (height, width).
        padding: (left, right, top, bottom), or ncnn's -233 or -234 in all four for what makes the output as large as
            the input.
        pad_value: of the border.
        groups: of channels that are seen apart.
        channels: of the input, all groups together.
        flattened: it takes a 3-D blob as one vector, as an InnerProduct does.
    """

    kernel: tuple[int, int]
    dilation: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    pad_value: float
    groups: int
    channels: int
    flattened: bool


@dataclass(frozen=True)
class Look:
    """Ask for the moments of what a layer sees, over some of its outputs of each sample.

    Attributes:
        blob: the layer's input.
        window: what of it each output sees.
        quantizer: how the input becomes int8.
        outputs: how many outputs to take of each sample, at random, all if there are no more.
        seed: of that choice, together with the number of the sample.
        crosses: whether to compare with the float branch.
        part: which samples: None for all, True for those that validate, False for the others.
    """

    blob: str
    window: Window
    quantizer: Quantizer
    outputs: int
    seed: int
    crosses: bool
    part: bool | None


@dataclass
class Moments:
    """Sums over inputs of a layer in the quantized branch, as integers, so that they are the same in any order.

    Attributes:
        count: how many inputs there were.
        products: of codes with each other, (groups, size, size).
        codes: of the codes, (groups, size).
        differences: of what the float branch has more, in 1 / DIFFERENCE of a quantization step, (groups, size); None
            if not asked for.
        crosses: of those differences with the codes, (groups, size, size); None if not asked for.
    """

    count: int
    products: NDArray[np.int64]
    codes: NDArray[np.int64]
    differences: NDArray[np.int64] | None
    crosses: NDArray[np.int64] | None

    def add(self, other: Moments) -> None:
        """Take in those of other inputs."""
        self.count += other.count
        self.products += other.products
        self.codes += other.codes
        if self.differences is not None and other.differences is not None:
            self.differences += other.differences
        if self.crosses is not None and other.crosses is not None:
            self.crosses += other.crosses


DIFFERENCE = 64
VALIDATES = 4
"""One sample in so many validates."""


@dataclass(frozen=True)
class Step:
    """Run some layers on all samples.

    Attributes:
        model: the files of these layers, as they are in the float branch; None to leave that as it is.
        quantized: as they are in the quantized branch; None for the same.
        bottoms: the blobs that they read: the name in the files, and that of the blob.
        quantizers: how bottoms become int8 first, in the quantized branch, by the name of the blob.
        tops: the blobs to keep: the name in the files.
    """

    model: tuple[Path, Path] | None
    quantized: tuple[Path, Path] | None
    bottoms: Sequence[tuple[str, str]]
    quantizers: Mapping[str, Quantizer]
    tops: Sequence[str]


@dataclass(frozen=True)
class Contrast:
    """Ask how far the branches differ in a blob, where its values in float are between two bounds, these not included.

    Attributes:
        blob: the blob.
        low, high: the bounds.
    """

    blob: str
    low: float
    high: float


@dataclass
class Differences:
    """By how much the float branch has more, in each channel, as integers, so that it is the same in any order.

    Attributes:
        counts: how many values there were, (channels,).
        sums: of the differences, in 1 / UNITS of the blob's own unit, (channels,).
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]

    def add(self, other: Differences) -> None:
        """Take in those of other samples."""
        self.counts += other.counts
        self.sums += other.sums


UNITS = 2**24


@dataclass(frozen=True)
class Forget:
    """Drop blobs.

    Attributes:
        blobs: their names.
    """

    blobs: Sequence[str]
