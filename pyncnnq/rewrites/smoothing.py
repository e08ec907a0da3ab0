"""Outliers of activations moved into weights, for layers that ncnn quantizes as they run: Gemm and MultiHeadAttention.

The features that such a layer reads share a scale, and in transformers a few of them are far larger than the others.
So each feature is divided by a number, and the weights that see it are multiplied by the number:

    W x = (W s) (x / s)   with   s_j = max|x_j|^a / max|W_j|^(1-a)

(G. Xiao et al., "SmoothQuant", ICML 2023).  The exponent is that of the least noise at the layer's output, by what is
known of the blob and of the weights, for each layer by itself.  A LayerNorm or RMSNorm that nothing else reads does the
division with its own factors; elsewhere a BinaryOp with a constant does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import LayerNorm, RMSNorm
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.dynamic import Reading, multiplied, readings, seen_by, smoothing_factors, weights_read
from pyncnnq.rewrites.rewritten import Rewritten, unused
from pyncnnq.statistics.columns import Columns

Floats = NDArray[np.float64]


def smooth(model: Model, columns: Mapping[str, Columns]) -> Rewritten:
    """Divide the features of blobs that Gemm and MultiHeadAttention layers read, and multiply the weights.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.
        columns: the columns of blobs, by name (see `dynamic_blobs`); other blobs are left alone.

    Returns:
        The new model; `changed` names the layers that read what is smoothed.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    graph = model.graph()
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    changed: list[str] = []
    storage: dict[str, BlobStorage] = {}
    for layer in model.layers:
        for reading in readings(layer):
            blob = layer.bottoms[reading.place]
            seen = seen_by(columns, graph.split_root(blob), reading)
            if seen is None:
                continue
            factors, _ = smoothing_factors(seen, weights_read(layer, reading), by_token=reading.by_token)
            if (factors == 1).all():
                continue
            _multiply(layer, reading, factors)
            if _divide(graph.producer(blob), factors):
                storage[blob] = BlobStorage(factors, np.zeros(1))
            else:
                divided = unused(f"{blob}_smoothed", taken)
                layers += multiplied(blob, divided, 1 / factors, taken)
                layer.bottoms[reading.place] = divided
            changed.append(layer.name)
        layers.append(layer)
    model.layers = layers
    return Rewritten(model, tuple(dict.fromkeys(changed)), storage)


def _multiply(layer: Layer, reading: Reading, factors: Floats) -> None:
    for name in reading.weights:
        values = layer.weights[name].float32().reshape(-1, reading.size) * factors.astype(np.float32)
        layer.weights[name] = Weight.tagged_float32(name, values.ravel())


def _divide(writer: Layer | None, factors: Floats) -> bool:
    """Let a normalization divide what it writes; return whether the writer of the blob is one."""
    if writer is None or not isinstance(writer.op, LayerNorm | RMSNorm):
        return False
    if not writer.op.affine or writer.op.affine_size != len(factors):
        return False
    for name in writer.op.arrays:
        values = writer.weights[name].float32() / factors.astype(np.float32)
        writer.weights[name] = replace(writer.weights[name], data=values.astype(np.float32))
    return True
