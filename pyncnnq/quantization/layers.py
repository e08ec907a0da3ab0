"""One layer in int8: its weights, its scales and its parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Scales, Table, weight_key
from pyncnnq.calibration.weight_scales import scales_of, weight_rows
from pyncnnq.model import Layer, Weight
from pyncnnq.model.params import Params
from pyncnnq.model.quantizable import (
    ScaledWeight,
    int8_term_key,
    int8_weights,
    needs_activation_scale,
    pads_with_value,
    scaled_weights,
)

FLOAT16_LIMIT = 65504.0
CHAINED = 100  # added to a convolution's int8_scale_term: it writes int8 by its own top scale


def quantize_layer(layer: Layer, table: Table) -> list[str]:
    """Turn a float layer, in place, into the int8 layer that ncnn2int8 writes (ncnn's tools/quantize/ncnn2int8.cpp).

    Model and table have been checked, and the table has the layer's rows.  Returns warnings.
    """
    # ncnn2int8 looks at all of a constant B where it has to turn B first, but at the first row alone where it has not.
    first_row_only = layer.type == "Gemm" and layer.params.get_int(3, 0) == 1
    _straighten(layer)
    rows = scaled_weights(layer)
    arrays: dict[str, Weight] = {}
    warnings = []
    for index, weight in enumerate(int8_weights(layer)):
        given = table[weight_key(layer.name, index)] if rows else None
        if first_row_only and weight.weight == "B_data":
            given, clipped = _scale_of_first_row(layer)
            if clipped:
                warnings.append(
                    f"{layer}: its scale clips {clipped} of {layer.weights['B_data'].data.size} weights, since "
                    "ncnn2int8 takes it from the first row of B alone; exclude the layer if that costs too much"
                )
        scales = _quantize_weight(layer, weight, given)
        arrays[weight.scales] = Weight.raw(weight.scales, scales)
    if needs_activation_scale(layer):
        scale = table[layer.name]
        arrays["bottom_blob_int8_scales"] = Weight.raw("bottom_blob_int8_scales", scale)
        if pads_with_value(layer):
            # ncnn pads after quantizing: the value stands among int8 numbers.
            pad_value = np.full((1, 1), layer.params.get_float(18, 0.0), np.float32)
            layer.params.set(18, float(quantize_rows(pad_value, scale)[0, 0]))
    # ConvolutionDepthWise tells by its term how many weight scales it has: 1 is one for each group.
    layer.params.set(int8_term_key(layer.type), 1 if layer.type == "ConvolutionDepthWise" else 2)
    set_weights(layer, {**layer.weights, **arrays})
    return warnings


def chain_layer(layer: Layer, scale: Scales) -> None:
    """Let an int8 convolution write int8, quantized by `scale`, instead of float."""
    layer.params.set(8, layer.params.get_int(8, 0) + CHAINED)
    set_weights(layer, {**layer.weights, "top_blob_int8_scales": Weight.raw("top_blob_int8_scales", scale)})


def set_weights(layer: Layer, weights: dict[str, Weight]) -> None:
    """Give the layer those of `weights` that its parameters ask for, in file order."""
    layer.weights = {name: weights[name] for name, _, _ in layer.expected_weights()}


def as_inner_product(layer: Layer) -> None:
    """Turn a 1x1 Convolution of a vector, in place, into the InnerProduct that ncnn computes for it in float.

    In int8, ncnn's Convolution does not make that exception and returns garbage of the wrong shape.
    """
    old = layer.params
    params = Params()
    params.set(0, old.get_int(0, 0))
    params.set(1, old.get_int(5, 0))
    params.set(2, old.get_int(6, 0))
    for key in (9, 31):
        if key in old:
            params.set(key, old.get_int(key, 0))
    for key in (10, 30):
        if key in old:
            params.set_array(key, old.get_array(key))
    layer.type, layer.params = "InnerProduct", params


def store_as_float16(layer: Layer) -> None:
    """Store the float32 weights that are left as float16, as ncnn2int8 does, except arrays with values too large for
    it."""
    for name, weight in layer.weights.items():
        if weight.storage == "tagged" and weight.format == "float32" and np.abs(weight.data).max() <= FLOAT16_LIMIT:
            layer.weights[name] = Weight.tagged_float16(name, weight.data)


def store_as_float32(layer: Layer) -> None:
    """Store all float weights as float32."""
    for name, weight in layer.weights.items():
        if weight.storage == "tagged" and weight.format not in ("float32", "int8"):
            layer.weights[name] = Weight.tagged_float32(name, weight.float32())


def clear_padding(layer: Layer) -> None:
    """Let zeros stand between the arrays, where pnnx leaves whatever was in memory."""
    for name, weight in layer.weights.items():
        if any(weight.padding):
            layer.weights[name] = replace(weight, padding=b"")


def _quantize_weight(layer: Layer, weight: ScaledWeight, scales: Scales | None) -> Scales:
    """Replace the array by its int8 numbers; returns the scales, of 8 bits by the largest magnitudes if none are
    given."""
    values, absmax = weight_rows(layer, weight)
    if scales is None:
        scales, _ = scales_of(absmax, 8)
    elif not np.isfinite(scales).all() or not (scales > 0).all():
        scales = np.where(absmax == 0, np.float32(1), scales)
    quantized = quantize_rows(values, np.ascontiguousarray(scales))
    layer.weights[weight.weight] = Weight.tagged_int8(weight.weight, quantized)
    return scales


def _scale_of_first_row(layer: Layer) -> tuple[Scales | None, int]:
    """The scale of a Gemm's B by its first row, None if that is all zero, and how many of the other weights it
    clips."""
    magnitudes = np.abs(layer.weights["B_data"].float32())
    absmax = magnitudes[: layer.params.get_int(9, 0)].max(keepdims=True)
    if absmax[0] == 0:
        return None, 0
    return scales_of(absmax, 8)[0], int(np.count_nonzero(magnitudes > absmax))


def _straighten(layer: Layer) -> None:
    """Turn the constant matrices of a Gemm so that what shares a scale lies together: A by rows, B transposed."""
    if layer.type != "Gemm":
        return
    m, n, k = (layer.params.get_int(key, 0) for key in (7, 8, 9))
    for name, constant, transposed, columns, wanted in (("A_data", 4, 2, m, 0), ("B_data", 5, 3, n, 1)):
        if layer.params.get_int(constant, 0) == 1 and layer.params.get_int(transposed, 0) != wanted:
            turned = layer.weights[name].float32().reshape(k, columns).T
            layer.weights[name] = Weight.tagged_float32(name, turned)
            layer.params.set(transposed, wanted)
