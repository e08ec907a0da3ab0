"""What a model costs: multiplications, time and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs import InputSpec
from pyncnnq.model import Layer, Model
from pyncnnq.statistics.messages import Work

Shape = tuple[int, ...]
"""Of a blob, in NumPy's order."""


@dataclass(frozen=True)
class Profiling:
    """Time both models on a sample, and tell the shapes of the int8 model's blobs.

    Attributes:
        models: the files of the float and of the int8 model.
        inputs: as in `pyncnnq.statistics.messages.Job`.
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
        """See `pyncnnq.statistics.messages.Task`."""
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
    """Milliseconds of an inference on this CPU: medians of `runs` that alternate, after a warm-up, in a process of its own with ncnn's
    default options.

    Attributes:
        threads: of one inference.
        runs: of each model.
        float_ms, int8_ms: the medians.
    """

    threads: int
    runs: int
    float_ms: float
    int8_ms: float


def macs(model: Model, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """How often each layer with weights or matrix products multiplies and adds for one sample; layers that do not are left out.

    Args:
        model: with its weights.
        shapes: of its blobs.
    """
    counts = {}
    for layer in model.layers:
        bottoms, tops = ([shapes[blob] for blob in blobs] for blobs in (layer.bottoms, layer.tops))
        count = _macs(layer, bottoms, tops)
        if count:
            counts[layer.name] = count
    return counts


def _macs(layer: Layer, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
    params = layer.params
    kind = layer.type
    if kind.startswith("Convolution"):
        weights = params.get_int(6, 0) or math.prod(bottoms[1])
        return weights * math.prod(tops[0][1:])
    if kind.startswith("Deconvolution"):
        return params.get_int(6, 0) * math.prod(bottoms[0][1:])
    if kind == "InnerProduct":
        return params.get_int(2, 0) * math.prod(tops[0][:-1])
    if kind == "MatMul":
        return math.prod(tops[0]) * bottoms[0][-1]
    if kind == "Gemm":
        constant = params.get_int(4, 0) == 1 or params.get_int(5, 0) == 1
        depth = params.get_int(9, 0) if constant else bottoms[0][-2 if params.get_int(2, 0) else -1]
        return math.prod(tops[0]) * depth
    if kind in ("RNN", "LSTM", "GRU"):
        matrices = [weight for name, weight in layer.weights.items() if name.startswith("weight") and name.endswith("_data")]
        return bottoms[0][0] * sum(weight.data.size for weight in matrices)
    if kind == "SDPA":
        (heads, queries, size), (_, keys, _), (_, _, values) = bottoms[:3]
        return heads * queries * keys * (size + values)
    if kind == "MultiHeadAttention":
        return _attention(layer, bottoms)
    return 0


def _attention(layer: Layer, bottoms: Sequence[Shape]) -> int:
    params = layer.params
    size = params.get_int(0, 0)
    queries = bottoms[0][0]
    keys = bottoms[1][0] if len(bottoms) > 1 and bottoms[1][-1] == params.get_int(3, size) else queries
    outer = params.get_int(2, 0) // size
    projections = 2 * queries * outer * size + keys * size * (params.get_int(3, size) + params.get_int(4, size))
    return projections + 2 * queries * keys * size
