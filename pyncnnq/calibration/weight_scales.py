"""Scales of weights by their largest magnitudes, and how many bits they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import absmax_rows
from pyncnnq.calibration.winograd import may_use_winograd
from pyncnnq.errors import ModelError
from pyncnnq.model import Layer
from pyncnnq.model.quantizable import ScaledWeight


@dataclass(frozen=True, kw_only=True)
class WeightBits:
    """How many bits the weights of a layer get.

    Attributes:
        help: a few words for help texts.
        bits: returns the bits of a layer's weights at most.
        bounded: whether scales are lowered besides where sums could overflow in winograd; if not, and the bits are more
            than ncnn2table gives, winograd must be forbidden there (both in pyncnnq/calibration/winograd.py).
    """

    help: str
    bits: Callable[[Layer], int]
    bounded: bool = False


def ncnn_weight_bits(layer: Layer) -> int:
    """Return 6 for a Convolution that is 3x3 and neither strided nor dilated, for its int8 winograd's sake; else 8.

    Source: `quant_6bit` in ncnn's tools/quantize/ncnn2table.cpp.
    """
    return 6 if may_use_winograd(layer) else 8


WEIGHT_BITS: Mapping[str, WeightBits] = {
    "ncnn": WeightBits(help="6 for 3x3 stride-1 convolutions, else 8, as ncnn2table", bits=ncnn_weight_bits),
    "proven": WeightBits(help="8 bits, less where sums could overflow", bits=lambda _: 8, bounded=True),
    "8": WeightBits(help="8 bits; ncnn must not use winograd where sums could overflow", bits=lambda _: 8),
}


def weight_rows(layer: Layer, weight: ScaledWeight) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the finite weights that share scales, shape (rows, elements), and the largest magnitude of each row.

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
    """Return scales (int8 = float * scale) by which the largest magnitude of a row becomes the largest int8 number.

    Args:
        absmax: the largest magnitude of each row, shape (rows,).
        bits: 6 or 8.

    Returns:
        Scales, shape (rows,), and how many rows are all zero and got 1.
    """
    zero = absmax == 0
    levels = np.float32(2 ** (bits - 1) - 1)
    with np.errstate(over="ignore"):  # of denormal weights: the scale would be infinite
        scales = levels / np.where(zero, np.float32(1), absmax)
    return np.where(zero | np.isinf(scales), np.float32(1), scales), int(np.count_nonzero(zero | np.isinf(scales)))


def weight_scales(layer: Layer, weight: ScaledWeight, bits: int) -> tuple[NDArray[np.float32], int]:
    """Return scales of an array of finite weights, and how many of its rows are all zero and got 1 (see `scales_of`).

    Raises:
        ModelError: the weights do not divide into so many rows.
    """
    return scales_of(weight_rows(layer, weight)[1], bits)
