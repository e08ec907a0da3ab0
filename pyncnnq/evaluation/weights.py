"""What rounding did to the weights of each layer."""

from __future__ import annotations

import numpy as np

from pyncnnq.evaluation.blobs import Floats, Reading
from pyncnnq.model import Layer
from pyncnnq.quantizable import ACTIVATION_TYPES, int8_weights, is_int8


def weight_bits(layer: Layer) -> int:
    """How many bits the largest int8 weight of a layer needs, its sign included; 32 for one without int8 weights."""
    if not is_int8(layer):
        return 32
    found = [layer.weights[weight.weight] for weight in int8_weights(layer)]
    largest = max((int(np.abs(one.data.view(np.int8).astype(np.int16)).max()) for one in found if one.format == "int8"), default=0)
    return largest.bit_length() + 1 if largest else 32


def row_noise(exact: Layer, rough: Layer, bottom: Reading, top: Reading) -> tuple[Floats, Floats] | None:
    """Sums of squares of a layer's weights, and of their errors, for each output of it, shape (outputs,) each.

    Args:
        exact: the layer of the float model.
        rough: the one that the int8 weights stand for.
        bottom, top: how the int8 model stores what it reads and writes.

    Returns:
        None where the two cannot be compared: other layers than those of ACTIVATION_TYPES in a model that stores blobs otherwise, or
        sizes that differ.
    """
    if exact.type not in ACTIVATION_TYPES:
        return _plain_rows(exact, rough) if bottom.is_plain and top.is_plain else None
    weights = [layer.weights.get("weight_data") for layer in (exact, rough)]
    outputs = exact.params.get_int(0, 0)
    if weights[0] is None or weights[1] is None or weights[0].data.size != weights[1].data.size:
        return None
    group = exact.params.get_int(7, 1) if exact.type == "ConvolutionDepthWise" else 1
    x, y = (weight.float32().astype(np.float64).reshape(outputs, -1) for weight in weights if weight is not None)
    if not (bottom.is_plain and top.is_plain):
        kernel = _kernel(exact)
        of_group = x.shape[1] // kernel
        if bottom.gain.size != of_group * group or top.gain.size != outputs:
            return None
        gains = bottom.gain.reshape(group, 1, of_group, 1)
        parts = y.reshape(group, -1, of_group, kernel)
        y = (parts / gains).reshape(outputs, -1) * top.gain[:, None]
    return np.square(x).sum(axis=1), np.square(x - y).sum(axis=1)


def _kernel(layer: Layer) -> int:
    if layer.type == "InnerProduct":
        return 1
    width = layer.params.get_int(1, 0)
    return width * layer.params.get_int(11, width)


def _plain_rows(exact: Layer, rough: Layer) -> tuple[Floats, Floats] | None:
    found = []
    for weight in int8_weights(exact):
        pair = [layer.weights.get(weight.weight) for layer in (exact, rough)]
        if pair[0] is None or pair[1] is None or pair[0].data.size != pair[1].data.size or pair[0].data.size % weight.rows:
            return None
        x, y = (one.float32().astype(np.float64).reshape(weight.rows, -1) for one in pair if one is not None)
        found.append((np.square(x).sum(axis=1), np.square(x - y).sum(axis=1)))
    if not found:
        return None
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])
