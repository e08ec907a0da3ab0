"""How much layers compute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pyncnnq.model import Layer

Shape = tuple[int, ...]
"""Of a blob, in NumPy's order."""


def macs(layers: Iterable[Layer], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """How often layers with weights or matrix products multiply and add for one sample, by their names; other layers
    are left out.

    Multiplications with zeros of a border count too.

    Args:
        layers: with their weights.
        shapes: of the blobs that they read and write.
    """
    counts = {}
    for layer in layers:
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
        matrices = [
            weight for name, weight in layer.weights.items() if name.startswith("weight") and name.endswith("_data")
        ]
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
