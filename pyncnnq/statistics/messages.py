"""What this process and its workers say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs import InputSpec
from pyncnnq.statistics.observed import ObservedBlob
from pyncnnq.statistics.ranges import ChannelSums


class Work(Protocol):
    """What a worker does with each sample."""

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> object:
        """The answer to one sample: the blob of each model input with its Mat, and the files that these were loaded from."""

    def result(self) -> object:
        """The answer when all samples have been taken."""


class Task(Protocol):
    """A job that brings its own work; it is imported where the worker unpickles it."""

    @property
    def inputs(self) -> Sequence[tuple[str, InputSpec]]: ...

    @property
    def samples(self) -> Sequence[tuple[Path, ...]]: ...

    def start(self) -> Work:
        """Get ready, in the worker.

        Raises:
            FailureError: ncnn cannot load a model.
        """


@dataclass(frozen=True)
class Job:
    """What every worker of a collection is given.

    Attributes:
        param, bin: the model's files.
        inputs: for each model input its blob and how a file becomes its ncnn.Mat.
        samples: for each sample one path for each model input.
        blobs: the blobs to observe, in the order in which the network computes them.
    """

    param: Path
    bin: Path
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    blobs: Sequence[ObservedBlob]


@dataclass(frozen=True)
class RangesJob(Job):
    """A Job that asks for the sums of each channel of each sample instead of statistics."""


@dataclass(frozen=True)
class Measured:
    """One sample's sums, of each blob in the order of the job."""

    blobs: tuple[ChannelSums, ...]


@dataclass(frozen=True)
class ShapesJob:
    """What every worker is given that shall say of what shape blobs are.

    Attributes:
        param, bin, inputs, samples: as in a Job.
        blobs: their names, in the order in which the network computes them.
    """

    param: Path
    bin: Path
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    blobs: Sequence[str]


@dataclass(frozen=True)
class Shaped:
    """The shapes of the blobs of a ShapesJob in one sample, in NumPy's order."""

    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Comparison:
    """What every worker of a comparison is given.

    Attributes:
        models: the files of each model; the first is the reference for the others.
        inputs, samples: as in a Job; all models take the same inputs.
        outputs: the blobs to compare.
        metric: the name of a function that gives outputs a score (see `pyncnnq.metric`); None: agreement of the largest values.
    """

    models: Sequence[tuple[Path, Path]]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    outputs: Sequence[str]
    metric: str | None = None


@dataclass(frozen=True)
class Compared:
    """One sample's outputs, sums over their elements.

    Attributes:
        signal: of the squares of each output of the reference.
        noise: for each other model, of the squared differences of each output.
        scores: of the reference and each other model.
    """

    signal: tuple[float, ...]
    noise: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Walk:
    """Take two models, a float one and its quantized likeness, through a network together, a few layers at a time.

    Attributes:
        inputs: the blob of each model input, and how a file becomes it.
        samples: this worker's, by their numbers; it holds their blobs until they are dropped.
    """

    inputs: Sequence[tuple[str, InputSpec]]
    samples: Mapping[int, tuple[Path, ...]]


@dataclass(frozen=True)
class Quantizer:
    """How a layer's input becomes int8: code = round((x - zero_point) * scale), within +-127."""

    scale: float
    zero_point: float


@dataclass(frozen=True)
class Window:
    """What one output of a layer sees of its input.

    Attributes:
        kernel, dilation, stride: (height, width).
        padding: (left, right, top, bottom), or ncnn's -233 or -234 in all four for what makes the output as large as the input.
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
        differences: of what the float branch has more, in 1 / DIFFERENCE of a quantization step, (groups, size); None if not asked for.
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


@dataclass(frozen=True)
class Observed:
    """A sample went through."""


@dataclass(frozen=True)
class Unreadable:
    """A sample was skipped."""

    reason: str


@dataclass(frozen=True)
class Misfit:
    """A sample is not one of this model's: the collection cannot go on."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The collection cannot go on."""

    reason: str
