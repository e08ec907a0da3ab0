"""Layers that are linear in their input: their weights by channel, their bias, and changes of their output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Weight
from pyncnnq.model.params import FLOAT_LIMIT
from pyncnnq.model.quantizable import input_channels, needs_activation_scale
from pyncnnq.quantization.layers import set_weights

Floats = NDArray[np.float64]

_BIAS_TERM = {
    "Convolution": 5,
    "ConvolutionDepthWise": 5,
    "Deconvolution": 5,
    "DeconvolutionDepthWise": 5,
    "InnerProduct": 1,
    "Scale": 1,
}
"""The key of ncnn's `bias_term`."""


def is_linear(layer: Layer) -> bool:
    """Return whether a layer is quantizable and has no activation."""
    return needs_activation_scale(layer) and layer.params.get_int(9, 0) == 0


def is_linear_or_scale(layer: Layer) -> bool:
    """Return whether a bias shifts the channels that a layer writes: a linear layer, or a Scale with own weights."""
    return is_linear(layer) or (layer.type == "Scale" and len(layer.bottoms) == 1)


def groups(layer: Layer) -> int:
    """Return how many groups of channels a quantizable layer keeps apart."""
    return layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1


def is_depthwise(layer: Layer) -> bool:
    """Return whether each output of a quantizable layer reads one input channel, and no two outputs the same."""
    return (
        layer.type == "ConvolutionDepthWise"
        and groups(layer) == outputs_of(layer)
        and input_channels(layer) == groups(layer)
    )


def takes_channels(layer: Layer, channels: int) -> bool:
    """Return whether a quantizable layer can read a blob of so many channels.

    An InnerProduct may read several elements of each.
    """
    inputs = input_channels(layer)
    return channels > 0 and (inputs % channels == 0 if layer.type == "InnerProduct" else inputs == channels)


def weights_by_channel(layer: Layer, channels: int) -> Floats:
    """Return the weights of a quantizable layer by output and channel of a blob that it reads (see `takes_channels`).

    Returns:
        An array of shape (groups, outputs of a group, channels of a group, elements of a channel).
    """
    weights = layer.weights["weight_data"].float32().astype(np.float64)
    count = groups(layer)
    return weights.reshape(count, outputs_of(layer) // count, channels // count, -1)


def bias(layer: Layer) -> Floats:
    """Return the bias of a layer with outputs, shape (outputs,); zeros for a layer without a bias."""
    if "bias_data" in layer.weights:
        return layer.weights["bias_data"].float32().astype(np.float64)
    return np.zeros(outputs_of(layer))


def set_bias(layer: Layer, values: Floats) -> None:
    """Set the bias of a quantizable layer, a deconvolution or a Scale, also of a layer without a bias."""
    layer.params.set(_BIAS_TERM[layer.type], 1)
    set_weights(layer, {**layer.weights, "bias_data": Weight.raw("bias_data", values)})


def outputs_of(layer: Layer) -> int:
    """Return the number of outputs of a quantizable layer, a deconvolution or a Scale (ncnn's `num_output`)."""
    return layer.params.get_int(0, 0)


def turn(layer: Layer, sign: int) -> None:
    """Multiply the weights of a quantizable layer or a Scale by a sign."""
    name = "scale_data" if layer.type == "Scale" else "weight_data"
    weight = layer.weights[name]
    if sign < 0:
        exact = weight.format in ("float32", "float16")
        layer.weights[name] = (
            replace(weight, data=-weight.data) if exact else Weight.tagged_float32(name, -weight.float32())
        )


def set_weights_and_bias(layer: Layer, weights: NDArray[np.floating], values: Floats) -> None:
    """Set the weights of a quantizable layer, stored as float32, and its bias."""
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    set_bias(layer, values)


def multiply_and_add(layer: Layer, factor: Floats | float, offset: Floats | float) -> bool:
    """Let a linear layer or a deconvolution without activation write factor * y + offset instead of y.

    Args:
        layer: is changed, unless a weight or a bias would be too large for float32.
        factor, offset: numbers, or arrays of shape (outputs,).

    Returns:
        Whether the layer was changed.
    """
    outputs = outputs_of(layer)
    weights = layer.weights["weight_data"]
    if np.any(factor != 1):  # float16 would round them once more
        factors = np.broadcast_to(np.asarray(factor, np.float64), outputs)[:, None]
        with np.errstate(over="ignore"):
            weights = Weight.tagged_float32("weight_data", weights.float32().reshape(outputs, -1) * factors)
    moved = bias(layer) * factor + offset
    if not np.isfinite(weights.float32()).all() or not (np.abs(moved) < FLOAT_LIMIT).all():
        return False
    layer.weights["weight_data"] = weights
    if "bias_data" in layer.weights or moved.any():
        set_bias(layer, moved)
    return True


def turn_into_scale(layer: Layer, factors: Floats, offsets: Floats) -> None:
    """Turn a layer, in place, into the Scale that computes factor * x + offset by channel.

    Keys that all layers may have stay.
    """
    for key in set(layer.params.keys()) - {30, 31}:  # shape hints, feature mask
        layer.params.remove(key)
    layer.type = "Scale"
    layer.params.set(0, factors.size)
    layer.params.set(1, 1)
    layer.weights = {
        name: Weight.raw(name, values) for name, values in (("scale_data", factors), ("bias_data", offsets))
    }
