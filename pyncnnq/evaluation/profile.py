"""How long models take, and the shapes of their blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs import InputSpec
from pyncnnq.model.ops import Shape
from pyncnnq.runtime.protocol import Work


@dataclass(frozen=True)
class Profiling:
    """Time both models on a sample, and tell the shapes of the int8 model's blobs.

    Attributes:
        models: the files of the float and of the int8 model.
        inputs: as in `pyncnnq.runtime.protocol.Job`.
        samples: the one sample.
        blobs: whose shapes to tell, in the order in which the network computes them.
        outputs: the blobs that an inference computes.
        threads: of one inference.
    """

    models: tuple[tuple[Path, Path], tuple[Path, Path]]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    blobs: Sequence[str]
    outputs: Sequence[str]
    threads: int

    def start(self) -> Work:
        """See `pyncnnq.runtime.protocol.Job`."""
        from pyncnnq.evaluation.worker import Profile  # which imports ncnn: in workers only

        return Profile(self)


@dataclass(frozen=True)
class Profiled:
    """Shapes by blob; how often each model was timed; and the median seconds of an inference of each."""

    shapes: Mapping[str, Shape]
    runs: int
    seconds: tuple[float, float]


@dataclass(frozen=True)
class Speed:
    """Milliseconds of an inference on this CPU: medians of `runs` that alternate, after a warm-up, in a process of its
    own with ncnn's default options.

    Attributes:
        threads: of one inference.
        runs: of each model.
        float_ms, int8_ms: the medians.
    """

    threads: int
    runs: int
    float_ms: float
    int8_ms: float
