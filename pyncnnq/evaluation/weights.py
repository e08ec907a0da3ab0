"""What rounding did to the weights of each layer."""

from __future__ import annotations

import numpy as np

from pyncnnq.evaluation.blobs import CHANNELS_SCALED, Floats, Reading
from pyncnnq.model import Layer


def weight_bits(layer: Layer) -> int:
    """How many bits the largest int8 weight of a layer needs, its sign included; 32 for one without int8 weights."""
    if not layer.op.is_int8:
        return 32
    found = [layer.weights[weight.weight] for weight in layer.op.int8_weights()]
    largest = max(
        (int(np.abs(one.data.view(np.int8).astype(np.int16)).max()) for one in found if one.format == "int8"), default=0
    )
    return largest.bit_length() + 1 if largest else 32


def row_noise(exact: Layer, rough: Layer, bottom: Reading, top: Reading) -> tuple[Floats, Floats] | None:
    """Sums of squares of a layer's weights, and of their errors, for each row that has a scale, shape (rows,) each.

    Args:
        exact: the layer of the float model.
        rough: the one that the int8 weights stand for.
        bottom, top: how the int8 model stores what it reads and writes.

    Returns:
        None where the two cannot be compared: channels are scaled, so that the weights are too, or sizes differ.
    """
    if CHANNELS_SCALED in (bottom.kind, top.kind):
        return None
    sign = bottom.gain[0] * top.gain[0]  # -1 where one of them is stored with the other sign
    found = []
    for weight in exact.op.int8_weights():
        pair = [layer.weights.get(weight.weight) for layer in (exact, rough)]
        if (
            pair[0] is None
            or pair[1] is None
            or pair[0].data.size != pair[1].data.size
            or pair[0].data.size % weight.rows
        ):
            return None
        x, y = (one.float32().astype(np.float64).reshape(weight.rows, -1) for one in pair if one is not None)
        found.append((np.square(x).sum(axis=1), np.square(x - sign * y).sum(axis=1)))
    if not found:
        return None
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])
