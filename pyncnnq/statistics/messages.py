"""What this process and its workers say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs import InputSpec
from pyncnnq.statistics.observed import ObservedBlob
from pyncnnq.statistics.ranges import ChannelSums


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
class Comparison:
    """What every worker of a comparison is given.

    Attributes:
        models: the files of each model; the first is the reference for the others.
        inputs, samples: as in a Job; all models take the same inputs.
        outputs: the blobs to compare.
    """

    models: Sequence[tuple[Path, Path]]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Compared:
    """One sample's outputs, sums over their elements.

    Attributes:
        signal: of the squares of each output of the reference.
        noise: for each other model, of the squared differences of each output.
    """

    signal: tuple[float, ...]
    noise: tuple[tuple[float, ...], ...]


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
