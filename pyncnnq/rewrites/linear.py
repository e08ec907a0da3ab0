"""The weights of layers that are linear in their input, channel by channel, and how rewrites change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Graph, Layer, Weight
from pyncnnq.model.ops import Calibrated
from pyncnnq.model.params import FLOAT_LIMIT
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


BENDING = ("CELU", "ELU", "GELU", "HardSigmoid", "HardSwish", "Mish", "SELU", "Sigmoid", "Softplus", "Swish", "TanH")
"""Activations through which no factor of a channel goes."""
_KEEPING = (*BENDING, "BatchNorm", "BinaryOp", "Clip", "PReLU", "ReLU", "Scale", "Split")
"""Layers that write as many channels as they read, if they read one blob."""


def channels_from(layer: Layer | None, graph: Graph) -> Layer | None:
    """The quantizable layer that tells how many channels a layer writes: itself, or one before it; None if there is
    none."""
    while layer is not None and not isinstance(layer.op, Calibrated):
        layer = graph.producer(layer.bottoms[0]) if layer.type in _KEEPING and len(layer.bottoms) == 1 else None
    return layer


def groups(layer: Layer) -> int:
    """How many groups of channels a quantizable layer keeps apart."""
    return layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1


def is_depthwise(layer: Layer) -> bool:
    """Whether each output of a quantizable layer takes one input channel, and each channel goes into one output."""
    return (
        layer.type == "ConvolutionDepthWise"
        and groups(layer) == outputs_of(layer)
        and layer.as_op(Calibrated).input_channels() == groups(layer)
    )


def takes_channels(layer: Layer, channels: int) -> bool:
    """Whether a quantizable layer can read a blob of so many channels; an InnerProduct may take several elements of
    each."""
    inputs = layer.as_op(Calibrated).input_channels()
    return channels > 0 and (inputs % channels == 0 if layer.type == "InnerProduct" else inputs == channels)


def weights_by_channel(layer: Layer, channels: int) -> Floats:
    """What each output of a quantizable layer takes of each channel of a blob that it reads (see `takes_channels`).

    Returns:
        An array of shape (groups, outputs of a group, channels of a group, elements of a channel).
    """
    weights = layer.weights["weight_data"].float32().astype(np.float64)
    count = groups(layer)
    return weights.reshape(count, outputs_of(layer) // count, channels // count, -1)


def bias(layer: Layer) -> Floats:
    """The bias of each output of a quantizable layer or a deconvolution, shape (outputs,): zeros if it has none."""
    if "bias_data" in layer.weights:
        return layer.weights["bias_data"].float32().astype(np.float64)
    return np.zeros(outputs_of(layer))


def set_bias(layer: Layer, values: Floats) -> None:
    """Set the bias of a quantizable layer, a deconvolution or a Scale, which it need not have had."""
    layer.params.set(_BIAS_TERM[layer.type], 1)
    set_weights(layer, {**layer.weights, "bias_data": Weight.raw("bias_data", values)})


def outputs_of(layer: Layer) -> int:
    """The number of outputs of a quantizable layer or a deconvolution (ncnn's `num_output`)."""
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
    """Give a quantizable layer other weights, stored as float32, and a bias."""
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    set_bias(layer, values)


def multiply_and_add(layer: Layer, factor: Floats | float, offset: Floats | float) -> bool:
    """Let a quantizable layer or a deconvolution, without activation, write factor * y + offset instead of y.

    Args:
        layer: is changed, unless a weight or a bias would be too large for float32.
        factor, offset: numbers, or arrays of shape (outputs,).

    Returns:
        Whether it was changed.
    """
    outputs = outputs_of(layer)
    weights = layer.weights["weight_data"]
    if np.any(factor != 1):  # float16 would round them once more
        scaled = (
            weights.float32().reshape(outputs, -1) * np.broadcast_to(np.asarray(factor, np.float64), outputs)[:, None]
        )
        with np.errstate(over="ignore"):
            weights = Weight.tagged_float32("weight_data", scaled)
    moved = bias(layer) * factor + offset
    if not np.isfinite(weights.float32()).all() or not (np.abs(moved) < FLOAT_LIMIT).all():
        return False
    layer.weights["weight_data"] = weights
    if "bias_data" in layer.weights or moved.any():
        set_bias(layer, moved)
    return True


def turn_into_scale(layer: Layer, factors: Floats, offsets: Floats) -> None:
    """Turn a layer, in place, into the Scale that computes factor * x + offset by channel; keys that all layers may
    have stay."""
    for key in set(layer.params.keys()) - {30, 31}:  # shape hints, feature mask
        layer.params.remove(key)
    layer.type = "Scale"
    layer.params.set(0, factors.size)
    layer.params.set(1, 1)
    layer.weights = {
        name: Weight.raw(name, values) for name, values in (("scale_data", factors), ("bias_data", offsets))
    }
