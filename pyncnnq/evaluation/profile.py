"""How long models take, and the shapes of their blobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pyncnnq.model import ModelFiles
from pyncnnq.model.ops import Shape
from pyncnnq.runtime.protocol import Job

_WARM_UP, _LEAST_RUNS, _MOST_RUNS = 3, 5, 30
_LONG_ENOUGH = 0.5
"""Seconds: more runs than the fewest are taken only until then."""


@dataclass(frozen=True, kw_only=True)
class ProfileJob(Job):
    """Time the float and the int8 model on one sample, and tell the shapes of the int8 model's blobs.

    Attributes:
        models: the files of the float and of the int8 model.
        blobs: whose shapes to tell, in the order in which the network computes them.
        outputs: the blobs that an inference computes.
        threads: of one inference.
    """

    models: tuple[ModelFiles, ModelFiles]
    blobs: Sequence[str]
    outputs: Sequence[str]
    threads: int

    def start(self) -> _Profiling:
        return _Profiling(self)


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """Shapes of blobs in NumPy's order, by name; how often each model was timed; and the median seconds of an inference
    of the float and of the int8 model."""

    shapes: Mapping[str, Shape]
    runs: int
    seconds: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
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


class _Profiling:
    """Shapes and times of a sample."""

    def __init__(self, job: ProfileJob) -> None:
        self._job = job

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Profiled:
        from pyncnnq.runtime.network import Network, shape_of

        network = Network(*self._job.models[1])
        shapes = {name: shape_of(mat) for name, mat in network.blobs(inputs, self._job.blobs, packed=True)}
        del network
        runs, seconds = self._times(inputs)
        return Profiled(shapes=shapes, runs=runs, seconds=seconds)

    def _times(self, inputs: Sequence[tuple[str, Any]]) -> tuple[int, tuple[float, float]]:
        """Return how often each model ran, and the median seconds of each; they alternate, so that what else the
        machine does meets both."""
        from pyncnnq.runtime.network import DefaultNetwork

        networks = [DefaultNetwork(*files, threads=self._job.threads) for files in self._job.models]
        for network in networks:
            for _ in range(_WARM_UP):
                network.run(inputs, self._job.outputs)
        seconds: list[list[float]] = [[], []]
        start = time.perf_counter()
        while len(seconds[0]) < _LEAST_RUNS or (
            len(seconds[0]) < _MOST_RUNS and time.perf_counter() - start < _LONG_ENOUGH
        ):
            for network, times in zip(networks, seconds, strict=True):
                before = time.perf_counter()
                network.run(inputs, self._job.outputs)
                times.append(time.perf_counter() - before)
        return len(seconds[0]), (median(seconds[0]), median(seconds[1]))

    def result(self) -> None:
        return None
