"""Turn one float layer into int8: its weights, its scales and its parameters.

The layer types that can be int8 are classes of `pyncnnq/model/ops`, derived from `Int8Op`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Scales, Table, weight_key
from pyncnnq.calibration.weight_scales import scales_of, weight_rows
from pyncnnq.model import Layer, Weight
from pyncnnq.model.ops import Convolution, Gemm, InnerProduct, Int8Op, ScaledWeight
from pyncnnq.model.params import Params

FLOAT16_LIMIT = 65504.0


def quantize_layer(layer: Layer, table: Table, *, as_ncnn2int8: bool = True) -> list[str]:
    """Turn a float layer, in place, into the int8 layer that ncnn2int8 writes.

    Args:
        layer: of a type that ncnn runs in int8, with sound weights.
        table: a sound table with the layer's rows.
        as_ncnn2int8: take the scales of a Gemm where ncnn2int8 takes them from, even if that clips weights; otherwise
            its rows in the table count, if there are any.

    Returns:
        Warnings.

    Source: ncnn's tools/quantize/ncnn2int8.cpp.
    """
    op = layer.as_op(Int8Op)
    # ncnn2int8 looks at all of a constant B where it has to turn B first, but at the first row alone where it has not.
    first_row_only = as_ncnn2int8 and isinstance(op, Gemm) and op.transpose_b
    op.straighten()
    rows = op.scaled_weights()
    arrays: dict[str, Weight] = {}
    warnings = []
    for index, weight in enumerate(op.int8_weights()):
        key = weight_key(layer.name, index)
        given = table[key] if rows or (not as_ncnn2int8 and key in table) else None
        if first_row_only and weight.weight == "B_data":
            given, clipped = _scale_of_first_row(layer)
            if clipped:
                warnings.append(
                    f"{layer}: its scale clips {clipped} of {layer.weights['B_data'].data.size} weights, since "
                    "ncnn2int8 takes it from the first row of B alone; exclude the layer if that costs too much"
                )
        scales = _quantize_weight(layer, weight, given)
        arrays[weight.scales] = Weight.raw(weight.scales, scales)
    if op.needs_activation_scale:
        scale = table[layer.name]
        arrays["bottom_blob_int8_scales"] = Weight.raw("bottom_blob_int8_scales", scale)
        if isinstance(op, Convolution) and op.pads_with_value:
            # ncnn pads after quantizing: the value stands among int8 numbers.
            op.pad_value = float(quantize_rows(np.full((1, 1), op.pad_value, np.float32), scale)[0, 0])
    op.int8_scale_term = op.int8_term
    set_weights(layer, {**layer.weights, **arrays})
    return warnings


def chain_layer(layer: Layer, scale: Scales) -> None:
    """Let an int8 convolution write int8, quantized by `scale`, instead of float."""
    layer.as_op(Convolution).chain()
    set_weights(layer, {**layer.weights, "top_blob_int8_scales": Weight.raw("top_blob_int8_scales", scale)})


def set_weights(layer: Layer, weights: dict[str, Weight]) -> None:
    """Give the layer the arrays that its parameters ask for, of all `weights`, in file order."""
    layer.weights = {name: weights[name] for name, _, _ in layer.expected_weights()}


def as_inner_product(layer: Layer) -> None:
    """Turn a 1x1 Convolution of a vector, in place, into the InnerProduct that ncnn computes for it in float.

    In int8, ncnn's Convolution does not make that exception and returns garbage of the wrong shape.
    """
    convolution = layer.copy().as_op(Convolution)
    layer.type, layer.params = "InnerProduct", Params()
    product = layer.as_op(InnerProduct)
    product.num_output = convolution.num_output
    product.bias_term = convolution.bias_term
    product.weight_data_size = convolution.weight_data_size
    product.take_over(convolution, "activation_type", "feature_mask", "activation_params", "shape_hints")


def store_as_float16(layer: Layer) -> None:
    """Store the float32 weights that are left as float16, as ncnn2int8 does, but for arrays with too large values."""
    for name, weight in layer.weights.items():
        if weight.storage == "tagged" and weight.format == "float32" and np.abs(weight.data).max() <= FLOAT16_LIMIT:
            layer.weights[name] = Weight.tagged_float16(name, weight.data)


def store_as_float32(layer: Layer) -> None:
    """Store all float weights as float32."""
    for name, weight in layer.weights.items():
        if weight.storage == "tagged" and weight.format not in ("float32", "int8"):
            layer.weights[name] = Weight.tagged_float32(name, weight.float32())


def clear_padding(layer: Layer) -> None:
    """Write zeros between the arrays, where pnnx leaves whatever was in memory."""
    for name, weight in layer.weights.items():
        if any(weight.padding):
            layer.weights[name] = replace(weight, padding=b"")


def _quantize_weight(layer: Layer, weight: ScaledWeight, scales: Scales | None) -> Scales:
    """Replace an array by its int8 numbers; return its scales, by its largest magnitudes if none are given."""
    values, absmax = weight_rows(layer, weight)
    if scales is None:
        scales, _ = scales_of(absmax, 8)
    elif not np.isfinite(scales).all() or not (scales > 0).all():
        scales = np.where(absmax == 0, np.float32(1), scales)
    quantized = quantize_rows(values, np.ascontiguousarray(scales))
    layer.weights[weight.weight] = Weight.tagged_int8(weight.weight, quantized)
    return scales


def _scale_of_first_row(layer: Layer) -> tuple[Scales | None, int]:
    """Return the scale of a Gemm's B by its first row, and how many weights it clips; None if the row is all zero."""
    magnitudes = np.abs(layer.weights["B_data"].float32())
    absmax = magnitudes[: layer.as_op(Gemm).k].max(keepdims=True)
    if absmax[0] == 0:
        return None, 0
    return scales_of(absmax, 8)[0], int(np.count_nonzero(magnitudes > absmax))
