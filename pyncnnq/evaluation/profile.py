"""How long models take, and the shapes of their blobs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pyncnnq.model import Model, ModelFiles
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
        timed: what each layer of the float and of the int8 model writes first.
        outputs: the blobs that an inference computes.
        threads: of one inference.
    """

    models: tuple[ModelFiles, ModelFiles]
    blobs: Sequence[str]
    timed: tuple[Sequence[str], Sequence[str]]
    outputs: Sequence[str]
    threads: int

    def start(self) -> _Profiling:
        return _Profiling(self)


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """Shapes of blobs in NumPy's order, by name; how often each model was timed; the median seconds of an inference of
    the float and of the int8 model; and the least seconds of each layer of both, by the blob that it writes first."""

    shapes: Mapping[str, Shape]
    runs: int
    seconds: tuple[float, float]
    layers: tuple[Mapping[str, float], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class TypeTime:
    """Milliseconds that all layers of a type take in the float model and in the int8 model."""

    type: str
    float_ms: float
    int8_ms: float


@dataclass(frozen=True, kw_only=True)
class SlowerLayer:
    """An int8 layer that takes longer than in the float model, and the milliseconds of both."""

    name: str
    type: str
    float_ms: float
    int8_ms: float


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Milliseconds of an inference on this CPU: medians of `runs` that alternate, after a warm-up, in a process of its
    own with ncnn's default options.

    Attributes:
        threads: of one inference.
        runs: of each model.
        float_ms, int8_ms: the medians.
        types: where the time goes, the type first that takes longest in float: sums of each layer's least time.
        slower: the int8 layers that take longer than the layers of their names in float, the worst first.
    """

    threads: int
    runs: int
    float_ms: float
    int8_ms: float
    types: list[TypeTime]
    slower: list[SlowerLayer]


def speed_of(profiled: Profiled, model: Model, int8: Model, threads: int) -> Speed:
    """Return the speed of two models that were profiled."""
    float_ms, int8_ms = (1000 * seconds for seconds in profiled.seconds)
    kinds: dict[str, list[float]] = {}
    layers: list[dict[str, float]] = []
    for place, (one, seconds) in enumerate(zip((model, int8), profiled.layers, strict=True)):
        layers.append({})
        for layer in one.layers:
            if layer.tops and layer.tops[0] in seconds:
                milliseconds = 1000 * seconds[layer.tops[0]]
                layers[place][layer.name] = milliseconds
                kinds.setdefault(layer.type, [0.0, 0.0])[place] += milliseconds
    slower = [
        SlowerLayer(name=layer.name, type=layer.type, float_ms=layers[0][layer.name], int8_ms=layers[1][layer.name])
        for layer in int8.layers
        if layer.op.is_int8 and layers[1][layer.name] > layers[0].get(layer.name, math.inf)
    ]
    types = [TypeTime(type=kind, float_ms=before, int8_ms=after) for kind, (before, after) in kinds.items()]
    return Speed(
        threads=threads,
        runs=profiled.runs,
        float_ms=float_ms,
        int8_ms=int8_ms,
        types=sorted(types, key=lambda one: -one.float_ms),
        slower=sorted(slower, key=lambda layer: layer.float_ms - layer.int8_ms),
    )


class _Profiling:
    """Shapes and times of a sample."""

    def __init__(self, job: ProfileJob) -> None:
        self._job = job

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Profiled:
        from pyncnnq.runtime.network import Network, shape_of

        network = Network(*self._job.models[1])
        shapes = {name: shape_of(mat) for name, mat in network.blobs(inputs, self._job.blobs, packed=True)}
        del network
        return self._times(inputs, shapes)

    def _times(self, inputs: Sequence[tuple[str, Any]], shapes: Mapping[str, Shape]) -> Profiled:
        """Return what is known after runs of both models, which alternate, so that what else the machine does meets
        both."""
        from pyncnnq.runtime.network import DefaultNetwork

        networks = [DefaultNetwork(*files, threads=self._job.threads) for files in self._job.models]
        for network in networks:
            for _ in range(_WARM_UP):
                network.run(inputs, self._job.outputs)
        seconds: list[list[float]] = [[], []]
        layers: list[list[list[float]]] = [[], []]
        start = time.perf_counter()
        while len(seconds[0]) < _LEAST_RUNS or (
            len(seconds[0]) < _MOST_RUNS and time.perf_counter() - start < _LONG_ENOUGH
        ):
            for network, turns, blobs in zip(networks, layers, self._job.timed, strict=True):
                turns.append(network.seconds(inputs, blobs))
            for network, times in zip(networks, seconds, strict=True):
                before = time.perf_counter()
                network.run(inputs, self._job.outputs)
                times.append(time.perf_counter() - before)
        least = [
            dict(zip(blobs, map(min, zip(*turns, strict=True)), strict=True))
            for blobs, turns in zip(self._job.timed, layers, strict=True)
        ]
        return Profiled(
            shapes=shapes,
            runs=len(seconds[0]),
            seconds=(median(seconds[0]), median(seconds[1])),
            layers=(least[0], least[1]),
        )

    def result(self) -> None:
        return None
