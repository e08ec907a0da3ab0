"""What rounding did to the weights of each layer."""

from __future__ import annotations

import numpy as np

from pyncnnq.evaluation.blobs import CHANNELS_SCALED, kind_of
from pyncnnq.model import Layer
from pyncnnq.model.quantizable import int8_weights, is_int8
from pyncnnq.quantization.storage import BlobStorage, Floats


def weight_bits(layer: Layer) -> int:
    """Return how many bits the largest int8 weight of a layer needs, its sign included; 32 for a layer without int8
    weights."""
    if not is_int8(layer):
        return 32
    weights = [layer.weights[weight.weight] for weight in int8_weights(layer)]
    numbers = [weight.data.view(np.int8).astype(np.int16) for weight in weights if weight.format == "int8"]
    largest = max((int(np.abs(values).max()) for values in numbers), default=0)
    return largest.bit_length() + 1 if largest else 32


def row_noise(exact: Layer, rough: Layer, bottom: BlobStorage, top: BlobStorage) -> tuple[Floats, Floats] | None:
    """Return sums of squares of a layer's weights, and of their errors, for each row that has a scale, shape (rows,)
    each.

    Args:
        exact: the layer of the float model.
        rough: the float layer that the int8 weights stand for.
        bottom, top: how the int8 model stores the (first) blob that the layer reads and writes.

    Returns:
        None where the two cannot be compared: channels are scaled, so that the weights are too, or sizes differ.
    """
    if CHANNELS_SCALED in (kind_of(bottom), kind_of(top)):
        return None
    sign = bottom.gain[0] * top.gain[0]  # -1 where one of the blobs is stored with the other sign
    signal, noise = [], []
    for weight in int8_weights(exact):
        pair = exact.weights.get(weight.weight), rough.weights.get(weight.weight)
        if pair[0] is None or pair[1] is None or pair[0].data.size != pair[1].data.size:
            return None
        if pair[0].data.size % weight.rows:
            return None
        x, y = (values.float32().astype(np.float64).reshape(weight.rows, -1) for values in pair if values is not None)
        signal.append(np.square(x).sum(axis=1))
        noise.append(np.square(x - sign * y).sum(axis=1))
    return (np.concatenate(signal), np.concatenate(noise)) if signal else None
