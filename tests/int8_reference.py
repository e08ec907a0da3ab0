"""Int8 inference of small ncnn models in plain NumPy: the oracle for what quantized models must compute in stock ncnn.

It shares with pyncnnq the reader of model files alone.  Arithmetic as in ncnn's scalar code (src/layer/convolution.cpp,
forward_int8): inputs are multiplied by one scale, rounded with halves away from zero and clamped to +-127; products are
summed in integers; a sum divided by both scales, plus the float bias, goes through the activation; a chained layer
quantizes the result by its top scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer

Array = NDArray[np.float32]


def quantize(x: Array, scale: float) -> Array:
    """Int8 numbers, held as floats."""
    product = (x * np.float32(scale)).astype(np.float64)
    return np.clip(np.copysign(np.floor(np.abs(product) + 0.5), product), -127, 127).astype(np.float32)


def step(layer: Layer, inputs: Sequence[Array], *, is_int8: bool = False) -> Array:
    """The output of one layer.

    Args:
        inputs: 3-D (channels, height, width) or 1-D.
        is_int8: the input consists of int8 numbers already.
    """
    match layer.type:
        case "Split":
            return inputs[0]
        case "ReLU":
            return np.maximum(inputs[0], 0)
        case "BinaryOp":
            return _binary(layer, *inputs)
        case "Pooling":
            return inputs[0].mean(axis=(1, 2), dtype=np.float32)
        case "Convolution" | "ConvolutionDepthWise" | "InnerProduct":
            return _weighted(layer, inputs[0], is_int8=is_int8)
    raise NotImplementedError(layer.type)


def _binary(layer: Layer, a: Array, b: Array) -> Array:
    a, b = (x[:, None, None] if x.ndim < max(a.ndim, b.ndim) else x for x in (a, b))
    return np.multiply(a, b) if layer.params.get_int(0, 0) == 2 else np.add(a, b)


def _weighted(layer: Layer, x: Array, *, is_int8: bool) -> Array:
    params, weights = layer.params, {name: weight.float32() for name, weight in layer.weights.items()}
    term = params.get_int(8, 0)
    outputs = params.get_int(0, 0)
    if term and not is_int8:
        x = quantize(x, float(weights["bottom_blob_int8_scales"][0]))
    if layer.type == "InnerProduct" or x.ndim == 1:
        summed = weights["weight_data"].reshape(outputs, -1).astype(np.float64) @ x.ravel().astype(np.float64)
    else:
        summed = _convolve(layer, x, weights["weight_data"])
    result = summed.astype(np.float32)
    column = (-1, *[1] * (result.ndim - 1))
    if term:
        scales = np.repeat(weights["weight_data_int8_scales"], outputs // weights["weight_data_int8_scales"].size)
        scale = np.divide(
            np.float32(1), scales * weights["bottom_blob_int8_scales"], out=np.zeros_like(scales), where=scales != 0
        )
        result = result * scale.reshape(column)
    if "bias_data" in weights:
        result = result + weights["bias_data"].reshape(column)
    result = _activate(result, params.get_int(9, 0), params.get_array(10))
    if term > 100 and layer.type != "InnerProduct":
        result = quantize(result, float(weights["top_blob_int8_scales"][0]))
    return result


def _convolve(layer: Layer, x: Array, weight: Array) -> NDArray[np.float64]:
    params = layer.params
    widths = [params.get_int(key, default) for key, default in ((1, 0), (2, 1), (3, 1))]
    kernel, dilation, stride = (
        (width, params.get_int(key, width)) for key, width in zip((11, 12, 13), widths, strict=True)
    )
    left, top = params.get_int(4, 0), params.get_int(14, params.get_int(4, 0))
    right, bottom = params.get_int(15, left), params.get_int(16, top)
    groups = params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    outputs = params.get_int(0, 0)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=params.get_float(18, 0.0))
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (extent[1], extent[0]), axis=(1, 2))
    windows = windows[:, :: stride[1], :: stride[0], :: dilation[1], :: dilation[0]]
    grouped = windows.reshape(groups, x.shape[0] // groups, *windows.shape[1:]).astype(np.float64)
    kernels = weight.reshape(groups, outputs // groups, x.shape[0] // groups, kernel[1], kernel[0]).astype(np.float64)
    # Sums of integers below 2**53: exact in float64.
    return np.einsum("gihwyx,goiyx->gohw", grouped, kernels, optimize=True).reshape(outputs, *windows.shape[1:3])


def _activate(x: Array, kind: int, params: Sequence[float]) -> Array:
    if kind == 1:
        return np.maximum(x, 0)
    if kind == 2:
        return np.where(x > 0, x, x * np.float32(params[0]))
    if kind == 3:
        return np.clip(x, np.float32(params[0]), np.float32(params[1]))
    if kind == 4:
        return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    if kind == 6:
        return x * np.clip(x * np.float32(params[0]) + np.float32(params[1]), 0, 1)
    assert kind == 0
    return x
