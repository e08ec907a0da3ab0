"""Layers that multiply each channel by a number and add another to it.

Source: ncnn's src/layer/batchnorm.cpp, scale.cpp, bias.cpp, dropout.cpp and binaryop.cpp, and the wheel 1.0.20261020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer
from pyncnnq.model.ops import BatchNorm, Bias, BinaryOp, Dropout, MemoryData, Operation, Scale

Floats = NDArray[np.float64]

_LEAST_ROOT = 1e-4
"""The number that ncnn divides by where variance + eps is 0."""


class Affine(NamedTuple):
    """The function factor * x + offset.

    Attributes:
        factor, offset: in float64, shape (channels,), or (1,) for the same in all channels.
        dims: the numbers of dimensions of a blob for which `channels` are the outputs of the layer that writes it: its
            channels, or the elements of a vector.  Of a matrix they are its rows, which are no outputs of an
            InnerProduct.
    """

    factor: Floats
    offset: Floats
    dims: tuple[int, ...]


def as_affine(layer: Layer) -> Affine | None:
    """Return the affine function that a layer with one input computes; None for another layer.

    Raises:
        ModelError: a BatchNorm with a negative variance, of which ncnn makes NaN.
    """
    weights = {
        name: weight.float32().astype(np.float64) for name, weight in layer.weights.items() if weight.format != "packed"
    }
    match layer.op:
        case BatchNorm() as op:
            factor = weights["slope_data"] / _roots(op, weights["var_data"])
            return Affine(factor, weights["bias_data"] - factor * weights["mean_data"], (1, 3))
        case Scale() if "scale_data" in weights:
            return Affine(weights["scale_data"], weights.get("bias_data", np.zeros_like(weights["scale_data"])), (1, 3))
        case Bias():  # ncnn adds its first number to all elements of a vector
            return Affine(np.ones_like(weights["bias_data"]), weights["bias_data"], (3,))
        case Dropout(scale=scale):
            return Affine(np.array([scale]), np.zeros(1), (1, 2, 3))
    return None


def as_operation(layer: Layer, data: Layer) -> Affine | None:
    """Return the affine function that a BinaryOp computes of a blob and a MemoryData with a number for each channel.

    None if it computes another function.
    """
    op, constant = layer.op, data.op
    if not isinstance(op, BinaryOp) or op.with_scalar or op.op_type not in (Operation.ADD, Operation.MUL):
        return None
    if not isinstance(constant, MemoryData) or "data" not in data.weights or data.weights["data"].format == "packed":
        return None
    numbers = data.weights["data"].float32().astype(np.float64)
    shape = constant.w, constant.h, constant.c
    if constant.d or shape not in ((numbers.size, 0, 0), (1, 1, numbers.size)):
        return None
    # Along the channels, whatever the width; (1, 1, c) and a vector would make a blob of three dimensions.
    dims = (3,) if constant.c else (1, 3)
    if op.op_type == Operation.ADD:
        return Affine(np.ones_like(numbers), numbers, dims)
    return Affine(numbers, np.zeros_like(numbers), dims)


def _roots(norm: BatchNorm, variance: Floats) -> Floats:
    """Return the numbers that a BatchNorm divides by.

    Raises:
        ModelError: a negative variance.
    """
    eps = float(np.float32(norm.eps))
    sums = variance + eps
    if sums.min() < 0:
        worst = int(np.argmin(sums))
        problem = f"variance {variance[worst]:g} + eps {eps:g} of channel {worst} is negative"
        advice = "ncnn makes NaN of it; export the model again from sound weights"
        raise ModelError(f"{norm.layer}: {problem}, and {advice}")
    return np.where(sums > 0, np.sqrt(sums), _LEAST_ROOT)
