"""How large int8 weights may be where ncnn multiplies by winograd.

ncnn computes int8 convolutions that are 3x3, not strided and not dilated by winograd F(4,3) when they have enough
channels.  Its sums wrap harmlessly modulo 2^32 until the last step, which divides by 576: only a sum of products beyond
2^31 / 576 gives a wrong output (ncnn's src/layer/x86/convolution_3x3_winograd_int8.h).  ncnn2table therefore gives all
such layers 6 bits, which most do not need, and which for a few is not enough.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import NO_WINOGRAD

LARGEST_SUM = 2**31 // 576
"""The largest magnitude of a sum of int8 products that comes out right."""


def largest_sums(weights: NDArray[np.int8], non_negative: bool) -> NDArray[np.int64]:
    """Return the largest magnitude that a sum of products can take, for any int8 input.

    Args:
        weights: int8, shape (outputs, elements).
        non_negative: the input has no numbers below zero.

    Returns:
        Shape (outputs,).
    """
    wide = weights.astype(np.int64)
    positive, negative = np.maximum(wide, 0).sum(axis=1), np.maximum(-wide, 0).sum(axis=1)
    reached: NDArray[np.int64] = np.maximum(positive, negative) if non_negative else positive + negative
    return 127 * reached


def bounded_scales(
    weights: NDArray[np.float32], scales: NDArray[np.float32], non_negative: bool
) -> NDArray[np.float32]:
    """Return scales at most as large as the given scales, with which no input can make a sum that comes out wrong.

    Args:
        weights: finite, shape (outputs, elements).
        scales: positive, shape (outputs,): int8 = float * scale.
        non_negative: the input has no numbers below zero.

    Returns:
        Shape (outputs,).
    """
    scales = scales.copy()
    while True:
        sums = largest_sums(quantize_rows(weights, scales), non_negative)
        beyond = sums > LARGEST_SUM
        if not beyond.any():
            return scales
        # Rounding may leave a sum a little too large once more; a thousandth less than in proportion ends that.
        scales[beyond] *= (0.999 * LARGEST_SUM / sums[beyond]).astype(np.float32)


def forbid_where_sums_overflow(model: Model, table: Table) -> list[str]:
    """Forbid winograd, in place, to the layers in which some input would make a sum that comes out wrong.

    Args:
        model: a float model.
        table: its calibration table; layers that lack a row stay in float.

    Returns:
        The names of the layers.
    """
    forbidden = []
    for layer, weights, non_negative in _layers_with_winograd(model, table):
        sums = largest_sums(quantize_rows(weights, table[weight_key(layer.name)]), non_negative)
        if layer.name in table and (sums > LARGEST_SUM).any():
            layer.op.feature_mask |= NO_WINOGRAD
            forbidden.append(layer.name)
    return forbidden


def bound_weight_scales(model: Model, table: Table) -> dict[str, int]:
    """Lower weight scales, in place in the table, where some input would make a sum that comes out wrong.

    Args:
        model: a float model.
        table: its calibration table; layers that lack a weight row are passed over.

    Returns:
        How many scales were lowered, by the name of the layer.
    """
    lowered = {}
    for layer, weights, non_negative in _layers_with_winograd(model, table):
        key = weight_key(layer.name)
        scales = bounded_scales(weights, table[key], non_negative)
        lowered[layer.name] = int(np.count_nonzero(scales != table[key]))
        table[key] = scales
    return lowered


def _layers_with_winograd(model: Model, table: Table) -> Iterator[tuple[Layer, NDArray[np.float32], bool]]:
    """Yield the layers that may use winograd in int8 and have a weight row, with their weights, shape (outputs,
    elements), and whether no number of their input is below zero."""
    graph = model.graph()
    for layer in model.layers:
        key = weight_key(layer.name)
        if key in table and layer.op.may_use_winograd:
            # The number that a layer pads with may be below zero.
            non_negative = graph.is_non_negative(layer.bottoms[0]) and not layer.op.pads_with_value
            yield layer, layer.weights["weight_data"].float32().reshape(table[key].size, -1), non_negative
