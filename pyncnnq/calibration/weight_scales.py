"""Scales of weights: the largest magnitude of each output's weights becomes the largest int8 number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import absmax_rows
from pyncnnq.calibration.methods.aciq import gaussian_clip
from pyncnnq.calibration.winograd import may_use_winograd
from pyncnnq.errors import ModelError
from pyncnnq.model import Layer
from pyncnnq.model.ops import ScaledWeight

WeightBits = Callable[[Layer], int]
"""Chooses how many bits the weights of a layer get at most."""


def ncnn_weight_bits(layer: Layer) -> int:
    """ncnn2table's rule: 6 for a Convolution that is 3x3 and neither strided nor dilated, for its int8 winograd's sake;
    else 8.

    Source: `quant_6bit` in ncnn's tools/quantize/ncnn2table.cpp.
    """
    return 6 if may_use_winograd(layer) else 8


WEIGHT_BITS: Mapping[str, WeightBits] = {"ncnn": ncnn_weight_bits, "proven": lambda _: 8, "8": lambda _: 8}
"""With "proven", scales of layers that may use winograd are bounded besides; with "8" winograd must be forbidden where
sums could overflow (both in pyncnnq/calibration/winograd.py)."""


def weight_rows(layer: Layer, weight: ScaledWeight) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The finite weights that share scales, shape (rows, elements), and the largest magnitude in each row, shape
    (rows,).

    Raises:
        ModelError: the weights do not divide into so many rows.
    """
    values = layer.weights[weight.weight].float32()
    if weight.rows <= 0 or values.size % weight.rows:
        raise ModelError(
            f"{layer}: {weight.weight} has {values.size} elements, which do not divide into {weight.rows} outputs"
        )
    values = values.reshape(weight.rows, -1)
    return values, absmax_rows(values)


def scales_of(absmax: NDArray[np.float32], bits: int) -> tuple[NDArray[np.float32], int]:
    """Scales (int8 = float * scale) of rows by their largest magnitude, and how many rows are all zero and got 1."""
    zero = absmax == 0
    levels = np.float32(2 ** (bits - 1) - 1)
    with np.errstate(over="ignore"):  # of denormal weights: the scale would be infinite
        scales = levels / np.where(zero, np.float32(1), absmax)
    return np.where(zero | np.isinf(scales), np.float32(1), scales), int(np.count_nonzero(zero | np.isinf(scales)))


def weight_scales(layer: Layer, weight: ScaledWeight, bits: int) -> tuple[NDArray[np.float32], int]:
    """Scales (int8 = float * scale) of an array of finite weights, shape (rows,), and how many rows are all zero and
    got 1.

    Raises:
        ModelError: the weights do not divide into so many rows.
    """
    return scales_of(weight_rows(layer, weight)[1], bits)


def aciq_weight_scales(layer: Layer, weight: ScaledWeight, bits: int) -> tuple[NDArray[np.float32], int]:
    """As `weight_scales`, but by ncnn2table's `method=aciq`, which clips weights as it clips blobs, or leaves levels
    unused."""
    values, absmax = weight_rows(layer, weight)
    return scales_of(gaussian_clip(absmax, values.shape[1], bits), bits)
