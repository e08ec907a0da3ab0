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
from pyncnnq.model import Graph, Layer, Model
from pyncnnq.model.quantizable import pads_with_value

LARGEST_SUM = 2**31 // 576
"""The largest magnitude of a sum of int8 products that comes out right."""

NO_WINOGRAD = 64
"""The bit of a layer's feature mask that forbids winograd (ncnn's src/net.cpp)."""

_SHAPE_KEYS = (
    (1, 0),
    (2, 1),
    (3, 1),
)  # kernel, dilation, stride: the width's key and default; the height's is ten more
_RELU, _CLIP, _SIGMOID = 1, 3, 4  # activation_type (src/layer/fused_activation.h)
_KEEPS_VALUES = (
    "Split",
    "Slice",
    "Concat",
    "ShuffleChannel",
    "Reshape",
    "Flatten",
    "Permute",
    "Squeeze",
    "ExpandDims",
    "Crop",
    "Pooling",
)


def may_use_winograd(layer: Layer) -> bool:
    """Whether ncnn may take winograd for the layer in int8, on any CPU.

    It is a Convolution, 3x3, neither strided nor dilated, whose feature mask (key 31) allows it.
    """
    params = layer.params
    kernel, dilation, stride = (
        (w := params.get_int(key, default), params.get_int(key + 10, w)) for key, default in _SHAPE_KEYS
    )
    forbidden = params.get_int(31, 0) & NO_WINOGRAD
    return (
        layer.type == "Convolution" and not forbidden and kernel == (3, 3) and dilation == (1, 1) and stride == (1, 1)
    )


def is_non_negative(graph: Graph, blob: str) -> bool:
    """Whether the graph proves that no value of a blob is below zero, whatever the input."""
    layer = graph.producer(blob)
    if layer is None:
        return False
    if layer.type in _KEEPS_VALUES:
        return bool(layer.bottoms) and all(is_non_negative(graph, bottom) for bottom in layer.bottoms)
    params = layer.params
    if layer.type in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
        kind = params.get_int(9, 0)
        bounds = params.get_array(10)
        return kind in (_RELU, _SIGMOID) or (kind == _CLIP and len(bounds) == 2 and bounds[0] >= 0)
    if layer.type == "ReLU":
        return params.get_float(0, 0.0) == 0
    if layer.type == "Clip":
        return params.get_float(0, -np.inf) >= 0
    return layer.type in ("Sigmoid", "HardSigmoid", "AbsVal", "Softmax")


def largest_sums(weights: NDArray[np.int8], non_negative: bool) -> NDArray[np.int64]:
    """The largest magnitude that a sum of products can take, for any int8 input.

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
    """Scales at most as large as these, with which no input can make a sum that comes out wrong.

    Args:
        weights: finite, shape (outputs, elements).
        scales: positive, shape (outputs,): int8 = float * scale.
        non_negative: the input has no numbers below zero.
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
            layer.params.set(31, layer.params.get_int(31, 0) | NO_WINOGRAD)
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
        if key in table and may_use_winograd(layer):
            # The number that a layer pads with may be below zero.
            non_negative = is_non_negative(graph, layer.bottoms[0]) and not pads_with_value(layer)
            yield layer, layer.weights["weight_data"].float32().reshape(table[key].size, -1), non_negative
