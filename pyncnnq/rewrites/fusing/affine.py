"""Layers that multiply each channel by a number and add another to it.

Source: ncnn's src/layer/batchnorm.cpp, scale.cpp, bias.cpp, dropout.cpp and binaryop.cpp, and the wheel 1.0.20261020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer

Floats = NDArray[np.float64]

_LEAST_ROOT = 1e-4
"""What ncnn divides by where variance + eps is 0."""

_ADD, _MULTIPLY = 0, 2  # op_type of a BinaryOp


class Affine(NamedTuple):
    """factor * x + offset: arrays of shape (channels,), or (1,) for the same in all channels.

    Attributes:
        dims: the numbers of dimensions of a blob for which `channels` are what they are for a convolution: its
            channels, or the elements of a vector.  Of a matrix they are its rows, which are no outputs of an
            InnerProduct.
    """

    factor: Floats
    offset: Floats
    dims: tuple[int, ...]


def as_affine(layer: Layer) -> Affine | None:
    """What a layer with one input computes, in float64; None if it is none of these.

    Raises:
        ModelError: a BatchNorm with a negative variance, of which ncnn makes NaN.
    """
    weights = {
        name: weight.float32().astype(np.float64) for name, weight in layer.weights.items() if weight.format != "packed"
    }
    match layer.type:
        case "BatchNorm":
            factor = weights["slope_data"] / _roots(layer, weights["var_data"])
            return Affine(factor, weights["bias_data"] - factor * weights["mean_data"], (1, 3))
        case "Scale" if "scale_data" in weights:
            return Affine(weights["scale_data"], weights.get("bias_data", np.zeros_like(weights["scale_data"])), (1, 3))
        case "Bias":  # ncnn adds its first number to all elements of a vector
            return Affine(np.ones_like(weights["bias_data"]), weights["bias_data"], (3,))
        case "Dropout":
            return Affine(np.array([layer.params.get_float(0, 1.0)]), np.zeros(1), (1, 2, 3))
    return None


def as_operation(layer: Layer, data: Layer) -> Affine | None:
    """What a BinaryOp computes of a blob and of a MemoryData with a number for each channel; None if it is something
    else."""
    operation, with_scalar = (layer.params.get_int(key, 0) for key in (0, 1))
    if (
        with_scalar
        or operation not in (_ADD, _MULTIPLY)
        or "data" not in data.weights
        or data.weights["data"].format == "packed"
    ):
        return None
    numbers = data.weights["data"].float32().astype(np.float64)
    w, h, d, c = (data.params.get_int(key, 0) for key in (0, 1, 11, 2))
    if d or (w, h, c) not in ((numbers.size, 0, 0), (1, 1, numbers.size)):
        return None
    # Along the channels, whatever the width; (1, 1, c) and a vector would make a blob of three dimensions.
    dims = (3,) if c else (1, 3)
    return (
        Affine(np.ones_like(numbers), numbers, dims)
        if operation == _ADD
        else Affine(numbers, np.zeros_like(numbers), dims)
    )


def _roots(layer: Layer, variance: Floats) -> Floats:
    """What a BatchNorm divides by."""
    eps = float(np.float32(layer.params.get_float(1, 0.0)))
    sums = variance + eps
    if sums.min() < 0:
        worst = int(np.argmin(sums))
        found = f"variance {variance[worst]:g} + eps {eps:g} of channel {worst} is negative"
        raise ModelError(f"{layer}: {found}, and ncnn makes NaN of it; export the model again from sound weights")
    return np.where(sums > 0, np.sqrt(sums), _LEAST_ROOT)
